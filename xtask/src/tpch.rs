//! TPC-H tables as Parquet, made once a scale factor by the binary `tpch`.

use std::fs;
use std::path::PathBuf;

use crate::machine::Machine;
use crate::process::{Doing, Outcome, run, say};

/// The eight tables, `NAME.parquet` each.
pub(crate) const TABLES: [&str; 8] = [
    "customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier",
];

/// The folder with the tables at `scale`, made first where it is missing.
pub(crate) fn tables(machine: &Machine, scale: &str) -> Outcome<PathBuf> {
    let folder = machine.cache.join(format!("tpch-4-sf{scale}"));
    if TABLES
        .iter()
        .all(|table| folder.join(format!("{table}.parquet")).is_file())
    {
        return Ok(folder);
    }
    say(format_args!("making TPC-H at scale factor {scale}"));
    let aside = tempfile::Builder::new()
        .prefix("making-tpch-")
        .tempdir_in(&machine.cache)
        .doing("making a folder for TPC-H")?;
    // Arrow's kernels take minutes to optimise and seconds to do this much work without.
    run(machine
        .cargo()
        .args([
            "run",
            "--quiet",
            "--locked",
            "--config",
            "profile.dev.debug=false",
        ])
        .args(["--config", "profile.dev.package.tpchgen.opt-level=3"])
        .args([
            "--package",
            "xtask",
            "--features",
            "tpch",
            "--bin",
            "tpch",
            "--",
            scale,
        ])
        .arg(aside.path()))?;
    fs::create_dir_all(&folder).doing(format_args!("making {}", folder.display()))?;
    for table in TABLES {
        let file = format!("{table}.parquet");
        fs::rename(aside.path().join(&file), folder.join(&file))
            .doing(format_args!("moving {file}"))?;
    }
    Ok(folder)
}
