//! Reads models of XGBoost and writes them anew: `rewrite_models OUT_FOLDER MODEL…` writes
//! `NAME.json` and `NAME.ubj` of each. `tests/written_models.py` has XGBoost read them.

use std::{env, error::Error, fs, path::PathBuf};

use xgboost_core::model::Model;

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = env::args_os().skip(1).map(PathBuf::from);
    let out = paths
        .next()
        .ok_or("usage: rewrite_models OUT_FOLDER MODEL…")?;
    for path in paths {
        let model = Model::parse(&fs::read(&path)?)?;
        let name = path.file_stem().ok_or("a model without a name")?;
        fs::write(out.join(name).with_extension("json"), model.to_json())?;
        fs::write(out.join(name).with_extension("ubj"), model.to_ubjson())?;
    }
    Ok(())
}
