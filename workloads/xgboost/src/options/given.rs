//! Which options a command has, and those that were given.

use mc2_guest::{Context as _, Error, Options, Result};
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

impl Known {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let roles = ROLES.iter().filter(|_| self.roles);
        self.values
            .iter()
            .chain(self.switches)
            .chain(roles)
            .copied()
    }

    fn listed(&self) -> String {
        let all: Vec<String> = self.names().map(|name| format!("--{name}")).collect();
        all.join(", ")
    }
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
    options: Options,
}

impl Given {
    pub(super) fn new(command: &'static str, known: &Known, arguments: &[String]) -> Result<Self> {
        let options = Options::new(arguments);
        let is_known = |option: &&str| known.names().any(|name| option[2..] == *name);
        if !known.params
            && let Some(option) = options.names().find(|option| !is_known(option))
        {
            return Err(Error::new(format!(
                "`{command}` has no option {option}; it has {}, --help",
                known.listed()
            )));
        }
        Ok(Self { command, options })
    }

    /// Makes sure that nothing is left.
    pub(super) fn finish(mut self) -> Result {
        match self.options.next::<String>("argument")? {
            None => Ok(()),
            Some(argument) => Err(Error::new(format!(
                "`{argument}` stands where an option is expected; inputs are the job's, named by --in"
            ))),
        }
    }

    pub(super) fn all(&mut self, name: &str) -> Result<Vec<String>> {
        self.options.values(&format!("--{name}"))
    }

    pub(super) fn one(&mut self, name: &str) -> Result<Option<String>> {
        self.options.value(&format!("--{name}"))
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

    pub(super) fn switch(&mut self, name: &str) -> Result<bool> {
        self.options.flag(&format!("--{name}"))
    }

    pub(super) fn roles(&mut self) -> Result<Roles> {
        Ok(Roles {
            label: self.one("label")?,
            lower: self.one("label-lower")?,
            upper: self.one("label-upper")?,
            weight: self.one("weight")?,
            group: self.one("group")?,
            base_margin: self.all("base-margin")?,
            ignored: self.all("ignore")?,
            passed_over: Vec::new(),
            categorical: self.all("categorical")?,
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

    /// The parameters, which are whatever nobody took.
    pub(super) fn params(mut self) -> Result<Params> {
        let mut flags = Vec::new();
        for (option, param) in [
            ("rounds", "rounds"),
            ("early-stopping", "early_stopping_rounds"),
        ] {
            let values = self.all(option)?.into_iter();
            flags.extend(values.map(|value| (param.to_owned(), value)));
        }
        let json = self.one("params")?;
        let rest = self.options.remaining()?.into_iter();
        flags.extend(rest.map(|(option, value)| (option[2..].replace('-', "_"), value)));
        self.finish()?;
        Ok(Params { json, flags })
    }
}

/// The options of a command that takes parameters, for errors.
pub(crate) fn options_of(command: &str) -> String {
    match command {
        "cv" => &CV,
        "eval" => &EVAL,
        _ => &TRAIN,
    }
    .listed()
}
