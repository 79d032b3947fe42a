//! Which options a command has, and those that were given.

use mc2_guest::{Context as _, Error, Result};
use xgboost_core::data::Roles;

use super::Params;

/// Options of tables, and what says which of a command's own ones it has.
const ROLES: [&str; 8] = [
    "label",
    "label-lower",
    "label-upper",
    "weight",
    "group",
    "base-margin",
    "ignore",
    "categorical",
];

/// A command's own options.
pub(super) struct Known {
    /// With a value.
    values: &'static [&'static str],
    /// Without.
    switches: &'static [&'static str],
    /// Whether [`ROLES`] are options.
    roles: bool,
    /// Whether whatever else there is is a parameter.
    params: bool,
}

pub(super) const TRAIN: Known = Known {
    values: &[
        "params",
        "rounds",
        "eval",
        "early-stopping",
        "init-model",
        "model-out",
        "model-format",
        "metrics-out",
    ],
    switches: &["verbose"],
    roles: true,
    params: true,
};
pub(super) const PREDICT: Known = Known {
    values: &["model", "iteration-range", "output", "format"],
    switches: &[
        "output-margin",
        "leaf",
        "contribs",
        "approx-contribs",
        "interactions",
        "verbose",
    ],
    roles: true,
    params: false,
};
pub(super) const CV: Known = Known {
    values: &["params", "rounds", "folds", "early-stopping", "metrics-out"],
    switches: &["stratified"],
    roles: true,
    params: true,
};
pub(super) const EVAL: Known = Known {
    values: &["params", "model", "eval", "metrics-out"],
    switches: &[],
    roles: true,
    params: true,
};
pub(super) const DUMP: Known = Known {
    values: &["model", "format", "output"],
    switches: &["stats"],
    roles: false,
    params: false,
};
pub(super) const IMPORTANCE: Known = Known {
    values: &["model", "type", "output"],
    switches: &[],
    roles: false,
    params: false,
};
pub(super) const PLOT: Known = Known {
    values: &["model", "tree", "levels", "importance", "top", "output"],
    switches: &[],
    roles: false,
    params: false,
};
/// Options as they were given, each taken by whoever knows it.
pub(super) struct Given {
    command: &'static str,
    values: Vec<(String, String)>,
    switches: Vec<String>,
    params: Vec<(String, String)>,
}

impl Given {
    pub(super) fn new(command: &'static str, known: &Known, arguments: &[String]) -> Result<Self> {
        let mut given = Self {
            command,
            values: Vec::new(),
            switches: Vec::new(),
            params: Vec::new(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(option) = argument
                .strip_prefix("--")
                .filter(|option| !option.is_empty())
            else {
                return Err(Error::new(format!(
                    "`{argument}` stands where an option is expected; inputs are the job's, named by --in"
                )));
            };
            let (name, inline) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, None),
            };
            if known.switches.contains(&name) {
                if inline.is_some() {
                    return Err(Error::new(format!("--{name} has no value")));
                }
                given.switches.push(name.to_owned());
                continue;
            }
            let own = known.values.contains(&name) || (known.roles && ROLES.contains(&name));
            if !own && !known.params {
                return Err(unknown(command, known, name));
            }
            let value = match inline {
                Some(value) => value,
                None => rest
                    .next()
                    .filter(|value| !value.starts_with("--"))
                    .with_context(|| format!("--{name} wants a value"))?
                    .clone(),
            };
            match own {
                true => given.values.push((name.to_owned(), value)),
                false => given.params.push((name.replace('-', "_"), value)),
            }
        }
        Ok(given)
    }

    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        let (taken, rest) = std::mem::take(&mut self.values)
            .into_iter()
            .partition(|(own, _)| own == name);
        self.values = rest;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    pub(super) fn one(&mut self, name: &str) -> Result<Option<String>> {
        let mut values = self.all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(Error::new(format!("--{name} is given twice"))),
        }
    }

    pub(super) fn needed(&mut self, name: &str, what: &str) -> Result<String> {
        let command = self.command;
        self.one(name)?
            .with_context(|| format!("`{command}` wants --{name}: {what}"))
    }

    pub(super) fn number(&mut self, name: &str, least: usize) -> Result<Option<usize>> {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        let number = text.parse().ok().filter(|number| *number >= least);
        number.map(Some).with_context(|| {
            format!("--{name} wants a whole number of at least {least}, not `{text}`")
        })
    }

    pub(super) fn switch(&self, name: &str) -> bool {
        self.switches.iter().any(|own| own == name)
    }

    pub(super) fn roles(&mut self) -> Result<Roles> {
        Ok(Roles {
            label: self.one("label")?,
            lower: self.one("label-lower")?,
            upper: self.one("label-upper")?,
            weight: self.one("weight")?,
            group: self.one("group")?,
            base_margin: self.all("base-margin"),
            ignored: self.all("ignore"),
            passed_over: Vec::new(),
            categorical: self.all("categorical"),
        })
    }

    /// The roles of a table to learn from or to judge by, which has a label one way or the other.
    pub(super) fn labelled_roles(&mut self) -> Result<Roles> {
        let roles = self.roles()?;
        match (&roles.label, &roles.lower, &roles.upper) {
            (Some(_), None, None) | (None, None, None) | (None, Some(_), Some(_)) => Ok(roles),
            (Some(_), _, _) => Err(Error::new(
                "--label does not go with --label-lower and --label-upper: a label is one number or two bounds",
            )),
            (None, _, _) => Err(Error::new(
                "--label-lower and --label-upper are given both or not at all",
            )),
        }
    }

    pub(super) fn params(&mut self) -> Result<Params> {
        for (option, param) in [
            ("rounds", "rounds"),
            ("early-stopping", "early_stopping_rounds"),
        ] {
            for value in self.all(option) {
                self.params.push((param.to_owned(), value));
            }
        }
        Ok(Params {
            json: self.one("params")?,
            flags: std::mem::take(&mut self.params),
        })
    }
}

fn unknown(command: &str, known: &Known, name: &str) -> Error {
    let own = known.values.iter().chain(known.switches);
    let roles = ROLES.iter().filter(|_| known.roles);
    let accepted: Vec<String> = own.chain(roles).map(|name| format!("--{name}")).collect();
    Error::new(format!(
        "`{command}` has no option --{name}; it has {}, --help",
        accepted.join(", ")
    ))
}
/// The options of a command that takes parameters, for errors.
pub(crate) fn options_of(command: &str) -> String {
    let known = match command {
        "cv" => &CV,
        "eval" => &EVAL,
        _ => &TRAIN,
    };
    let all = known.values.iter().chain(known.switches).chain(&ROLES);
    let all: Vec<String> = all.map(|name| format!("--{name}")).collect();
    all.join(", ")
}
