//! XGBoost's parameters as they are given.

use mc2_guest::{Context as _, Error, Result};
use xgboost_core::params::{self, ParamError, ParamSet};

/// XGBoost's parameters, as flags, and as a JSON object or the name of an input that holds one.
#[derive(Default)]
pub(crate) struct Params {
    pub(super) flags: Vec<(String, String)>,
    pub(super) json: Option<String>,
}

impl Params {
    /// The input that `--params` names, if it names one.
    pub(crate) fn input(&self) -> Option<&str> {
        self.json
            .as_deref()
            .filter(|text| !text.trim_start().starts_with('{'))
    }

    /// All parameters; `read` gives the text of an input.
    pub(crate) fn into_set(self, read: impl FnOnce(&str) -> Result<String>) -> Result<ParamSet> {
        let mut set = ParamSet::default();
        if let Some(json) = &self.json {
            let text = match self.input() {
                Some(name) => read(name)?,
                None => json.clone(),
            };
            let wanted = "--params wants a JSON object of parameters";
            let serde_json::Value::Object(object) = params::json(&text).context(wanted)? else {
                return Err(Error::new(wanted));
            };
            for (name, value) in object {
                set.set(
                    &name,
                    text_of(value).map_err(|found| {
                        ParamError::new(
                            &name,
                            format!("expected a number, text, truth value or list; found {found}"),
                        )
                    })?,
                )?;
            }
        }
        for (name, value) in self.flags {
            set.set(&name, value)?;
        }
        Ok(set)
    }
}

/// A JSON value as the text a flag would have.
fn text_of(value: serde_json::Value) -> std::result::Result<String, &'static str> {
    match value {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Null => Err("null"),
        // Lists and objects are read as JSON by whoever knows them.
        other => Ok(other.to_string()),
    }
}
