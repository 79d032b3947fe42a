//! The command line, taken apart before anything is read.

use mc2_guest::{Context as _, Error, Result};
use xgboost_core::{
    data::{Roles, write::OutputFormat},
    model::{dump, importance::Importance},
    params::{ParamError, ParamSet},
    predict::Explanation,
};

use crate::help;

/// What is to be done.
pub(crate) enum Command {
    Help(&'static str),
    Train(Train),
    Predict(Predict),
    CrossValidate(CrossValidate),
    Evaluate(Evaluate),
    Dump(Dump),
    Importance(Importances),
    Plot(Plot),
}

/// `train`.
pub(crate) struct Train {
    pub(crate) roles: Roles,
    pub(crate) params: Params,
    pub(crate) evals: Vec<String>,
    pub(crate) init_model: Option<String>,
    pub(crate) model_out: String,
    pub(crate) model_format: ModelFormat,
    pub(crate) metrics_out: Option<String>,
    pub(crate) verbose: bool,
}

/// `predict`.
pub(crate) struct Predict {
    pub(crate) model: String,
    pub(crate) roles: Roles,
    pub(crate) what: Prediction,
    /// Rounds whose trees count.
    pub(crate) rounds: std::ops::Range<usize>,
    pub(crate) output: Option<String>,
    pub(crate) format: OutputFormat,
    pub(crate) verbose: bool,
}

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prediction {
    Value,
    Margin,
    Leaf,
    Explained(Explanation),
}

/// `cv`.
pub(crate) struct CrossValidate {
    pub(crate) roles: Roles,
    pub(crate) params: Params,
    pub(crate) folds: usize,
    pub(crate) stratified: bool,
    pub(crate) metrics_out: Option<String>,
}

/// `eval`.
pub(crate) struct Evaluate {
    pub(crate) model: String,
    pub(crate) roles: Roles,
    pub(crate) params: Params,
    pub(crate) evals: Vec<String>,
    pub(crate) metrics_out: Option<String>,
}

/// `dump`.
pub(crate) struct Dump {
    pub(crate) model: String,
    pub(crate) format: dump::Format,
    pub(crate) stats: bool,
    pub(crate) output: Option<String>,
}

/// `importance`.
pub(crate) struct Importances {
    pub(crate) model: String,
    pub(crate) kind: Importance,
    pub(crate) output: Option<String>,
}

/// `plot`.
pub(crate) struct Plot {
    pub(crate) model: String,
    pub(crate) what: Plotted,
    pub(crate) output: Option<String>,
}

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plotted {
    /// A tree by its number, from 0, down to so many levels of splits.
    Tree { number: usize, levels: u32 },
    /// What features count for, the first so many of them.
    Importance { kind: Importance, top: usize },
}

/// How a model is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModelFormat {
    Json,
    Ubjson,
}

/// XGBoost's parameters, as flags, and as a JSON object or the name of an input that holds one.
#[derive(Default)]
pub(crate) struct Params {
    flags: Vec<(String, String)>,
    json: Option<String>,
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
                Some(name) => read(name).context("--params")?,
                None => json.clone(),
            };
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)
                .context("--params wants a JSON object of parameters")?;
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
struct Known {
    /// With a value.
    values: &'static [&'static str],
    /// Without.
    switches: &'static [&'static str],
    /// Whether [`ROLES`] are options.
    roles: bool,
    /// Whether whatever else there is is a parameter.
    params: bool,
}

const TRAIN: Known = Known {
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
const PREDICT: Known = Known {
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
const CV: Known = Known {
    values: &["params", "rounds", "folds", "early-stopping", "metrics-out"],
    switches: &["stratified"],
    roles: true,
    params: true,
};
const EVAL: Known = Known {
    values: &["params", "model", "eval", "metrics-out"],
    switches: &[],
    roles: true,
    params: true,
};
const DUMP: Known = Known {
    values: &["model", "format", "output"],
    switches: &["stats"],
    roles: false,
    params: false,
};
const IMPORTANCE: Known = Known {
    values: &["model", "type", "output"],
    switches: &[],
    roles: false,
    params: false,
};
const PLOT: Known = Known {
    values: &["model", "tree", "levels", "importance", "top", "output"],
    switches: &[],
    roles: false,
    params: false,
};

impl Command {
    /// Takes the command line apart.
    ///
    /// # Errors
    /// A command or an option that there is not, one that is missing, or a value of no use.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        const COMMANDS: &str = "train, predict, cv, eval, dump, importance or plot";
        let Some((command, rest)) = arguments.split_first() else {
            return Err(Error::new(format!(
                "a command is wanted: {COMMANDS}; --help says more"
            )));
        };
        let wants_help = rest.iter().any(|argument| argument == "--help");
        let command = match &**command {
            "--help" | "help" => return Ok(Self::Help(help::ALL)),
            "train" if wants_help => Self::Help(help::TRAIN),
            "predict" if wants_help => Self::Help(help::PREDICT),
            "cv" if wants_help => Self::Help(help::CV),
            "eval" if wants_help => Self::Help(help::EVAL),
            "dump" | "importance" | "plot" if wants_help => Self::Help(help::MODELS),
            "train" => train(Given::new("train", &TRAIN, rest)?)?,
            "predict" => predict(Given::new("predict", &PREDICT, rest)?)?,
            "cv" => cross_validate(Given::new("cv", &CV, rest)?)?,
            "eval" => evaluate(Given::new("eval", &EVAL, rest)?)?,
            "dump" => dump(Given::new("dump", &DUMP, rest)?)?,
            "importance" => importance(Given::new("importance", &IMPORTANCE, rest)?)?,
            "plot" => plot(Given::new("plot", &PLOT, rest)?)?,
            other => {
                return Err(Error::new(format!(
                    "`{other}` is no command; there are {COMMANDS}"
                )));
            }
        };
        Ok(command)
    }
}

/// Options as they were given, each taken by whoever knows it.
struct Given {
    command: &'static str,
    values: Vec<(String, String)>,
    switches: Vec<String>,
    params: Vec<(String, String)>,
}

impl Given {
    fn new(command: &'static str, known: &Known, arguments: &[String]) -> Result<Self> {
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

    fn all(&mut self, name: &str) -> Vec<String> {
        let (taken, rest) = std::mem::take(&mut self.values)
            .into_iter()
            .partition(|(own, _)| own == name);
        self.values = rest;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    fn one(&mut self, name: &str) -> Result<Option<String>> {
        let mut values = self.all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(Error::new(format!("--{name} is given twice"))),
        }
    }

    fn needed(&mut self, name: &str, what: &str) -> Result<String> {
        let command = self.command;
        self.one(name)?
            .with_context(|| format!("`{command}` wants --{name}: {what}"))
    }

    fn number(&mut self, name: &str, least: usize) -> Result<Option<usize>> {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        let number = text.parse().ok().filter(|number| *number >= least);
        number.map(Some).with_context(|| {
            format!("--{name} wants a whole number of at least {least}, not `{text}`")
        })
    }

    fn switch(&self, name: &str) -> bool {
        self.switches.iter().any(|own| own == name)
    }

    fn roles(&mut self) -> Result<Roles> {
        Ok(Roles {
            label: self.one("label")?,
            lower: self.one("label-lower")?,
            upper: self.one("label-upper")?,
            weight: self.one("weight")?,
            group: self.one("group")?,
            base_margin: self.all("base-margin"),
            ignored: self.all("ignore"),
            categorical: self.all("categorical"),
        })
    }

    /// The roles of a table to learn from or to judge by, which has a label one way or the other.
    fn labelled_roles(&mut self) -> Result<Roles> {
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

    fn params(&mut self) -> Result<Params> {
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

fn train(mut given: Given) -> Result<Command> {
    let model_out = given.needed("model-out", "the output that the model goes to")?;
    let model_format = match given.one("model-format")?.as_deref() {
        Some("json") => ModelFormat::Json,
        Some("ubj") => ModelFormat::Ubjson,
        Some(other) => {
            return Err(ParamError::unknown_value("model-format", other, &["json", "ubj"]).into());
        }
        None if model_out.to_ascii_lowercase().ends_with(".ubj") => ModelFormat::Ubjson,
        None => ModelFormat::Json,
    };
    Ok(Command::Train(Train {
        roles: given.labelled_roles()?,
        evals: given.all("eval"),
        init_model: given.one("init-model")?,
        metrics_out: given.one("metrics-out")?,
        verbose: given.switch("verbose"),
        params: given.params()?,
        model_out,
        model_format,
    }))
}

fn predict(mut given: Given) -> Result<Command> {
    let kinds = [
        ("output-margin", Prediction::Margin),
        ("leaf", Prediction::Leaf),
        (
            "contribs",
            Prediction::Explained(Explanation::Contributions),
        ),
        (
            "approx-contribs",
            Prediction::Explained(Explanation::Approximate),
        ),
        (
            "interactions",
            Prediction::Explained(Explanation::Interactions),
        ),
    ];
    let mut chosen = kinds.iter().filter(|(name, _)| given.switch(name));
    let what = chosen.next().map_or(Prediction::Value, |(_, what)| *what);
    if let Some((other, _)) = chosen.next() {
        return Err(Error::new(format!(
            "--{other} does not go with another kind of prediction"
        )));
    }
    let rounds = match given.one("iteration-range")? {
        None => 0..usize::MAX,
        Some(text) => iteration_range(&text)?,
    };
    let output = given.one("output")?;
    let format = match given.one("format")? {
        Some(name) => OutputFormat::parse(&name)?,
        None => output
            .as_deref()
            .and_then(OutputFormat::of_name)
            .unwrap_or(OutputFormat::Csv),
    };
    if output.is_none() && format != OutputFormat::Csv {
        return Err(Error::new(
            "standard output is CSV; --output names where another format goes",
        ));
    }
    let mut roles = given.roles()?;
    if let Some(column) = roles.categorical.first() {
        return Err(Error::new(format!(
            "--categorical {column}: which features are categories is the model's; leave it out"
        )));
    }
    // What a table has beside features is not needed here and may be missing, but for margins.
    let mut unused = [
        &mut roles.label,
        &mut roles.lower,
        &mut roles.upper,
        &mut roles.weight,
        &mut roles.group,
    ];
    let unused = unused.iter_mut().filter_map(|column| column.take());
    roles.ignored.extend(unused);
    Ok(Command::Predict(Predict {
        model: given.needed("model", "the input that is the model")?,
        roles,
        what,
        rounds,
        output,
        format,
        verbose: given.switch("verbose"),
    }))
}

/// `BEGIN:END`, the end not included; `0:0` are all, as in XGBoost.
fn iteration_range(text: &str) -> Result<std::ops::Range<usize>> {
    let bounds = text
        .split_once(':')
        .and_then(|(begin, end)| Some((begin.parse().ok()?, end.parse().ok()?)));
    match bounds {
        Some((0, 0)) => Ok(0..usize::MAX),
        Some((begin, end)) if begin < end => Ok(begin..end),
        _ => Err(Error::new(format!(
            "--iteration-range wants BEGIN:END, rounds from 0, the end not included; not `{text}`"
        ))),
    }
}

fn cross_validate(mut given: Given) -> Result<Command> {
    Ok(Command::CrossValidate(CrossValidate {
        roles: given.labelled_roles()?,
        folds: given.number("folds", 2)?.unwrap_or(3),
        stratified: given.switch("stratified"),
        metrics_out: given.one("metrics-out")?,
        params: given.params()?,
    }))
}

fn evaluate(mut given: Given) -> Result<Command> {
    Ok(Command::Evaluate(Evaluate {
        model: given.needed("model", "the input that is the model")?,
        roles: given.labelled_roles()?,
        evals: given.all("eval"),
        metrics_out: given.one("metrics-out")?,
        params: given.params()?,
    }))
}

fn dump(mut given: Given) -> Result<Command> {
    let format = given.one("format")?;
    Ok(Command::Dump(Dump {
        model: given.needed("model", "the input that is the model")?,
        format: format.map_or(Ok(dump::Format::Text), |name| dump::Format::parse(&name))?,
        stats: given.switch("stats"),
        output: given.one("output")?,
    }))
}

fn importance(mut given: Given) -> Result<Command> {
    let kind = given.one("type")?;
    Ok(Command::Importance(Importances {
        model: given.needed("model", "the input that is the model")?,
        kind: kind.map_or(Ok(Importance::Gain), |name| {
            importance_called("type", &name)
        })?,
        output: given.one("output")?,
    }))
}

/// [`Importance::parse`], by the name of the option.
fn importance_called(option: &str, name: &str) -> std::result::Result<Importance, ParamError> {
    Importance::parse(name).map_err(|error| ParamError {
        name: option.to_owned(),
        ..error
    })
}

fn plot(mut given: Given) -> Result<Command> {
    let number = given.number("tree", 0)?;
    let levels = given.number("levels", 1)?;
    let importance = given.one("importance")?;
    let top = given.number("top", 1)?;
    let wants_tree = number.is_some() || levels.is_some();
    let wants_importance = importance.is_some() || top.is_some();
    if wants_tree && wants_importance {
        return Err(Error::new(
            "--tree, --levels and --importance, --top are two plots; ask for one",
        ));
    }
    let what = match wants_importance {
        true => Plotted::Importance {
            kind: importance.map_or(Ok(Importance::Gain), |name| {
                importance_called("importance", &name)
            })?,
            top: top.unwrap_or(20),
        },
        false => Plotted::Tree {
            number: number.unwrap_or(0),
            levels: levels.map_or(u32::MAX, |levels| u32::try_from(levels).unwrap_or(u32::MAX)),
        },
    };
    Ok(Command::Plot(Plot {
        model: given.needed("model", "the input that is the model")?,
        what,
        output: given.one("output")?,
    }))
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
