//! The command line, taken apart before anything is read.

mod given;
mod params;

use mc2_guest::{Error, Result};
use xgboost_core::{
    data::{Roles, write::OutputFormat},
    model::{dump, importance::Importance},
    params::ParamError,
    predict::Explanation,
};

use self::given::{CV, DUMP, EVAL, Given, IMPORTANCE, PLOT, PREDICT, TRAIN};
pub(crate) use self::{given::options_of, params::Params};
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
    /// How it is written, where that is said.
    pub(crate) model_format: Option<ModelFormat>,
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
    /// How they are written, where that is said.
    pub(crate) format: Option<OutputFormat>,
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
    /// How it is written, where that is said.
    pub(crate) format: Option<dump::Format>,
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

impl ModelFormat {
    /// The format that an output's name ends in.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match &*ending.to_ascii_lowercase() {
            "json" => Some(Self::Json),
            "ubj" => Some(Self::Ubjson),
            _ => None,
        }
    }

    /// The format that data of this media type has.
    pub(crate) fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            "application/json" => Some(Self::Json),
            "application/ubjson" => Some(Self::Ubjson),
            _ => None,
        }
    }
}

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
fn train(mut given: Given) -> Result<Command> {
    let model_out = given.needed("model-out", "the output that the model goes to")?;
    let model_format = match given.one("model-format")?.as_deref() {
        Some("json") => Some(ModelFormat::Json),
        Some("ubj") => Some(ModelFormat::Ubjson),
        Some(other) => {
            let error = ParamError::unknown_value("model-format", other, &["json", "ubj"]);
            return Err(refused("model-format", error));
        }
        None => None,
    };
    Ok(Command::Train(Train {
        roles: given.labelled_roles()?,
        evals: given.all("eval")?,
        init_model: given.one("init-model")?,
        metrics_out: given.one("metrics-out")?,
        verbose: given.switch("verbose")?,
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
    let mut what = Prediction::Value;
    for (name, kind) in kinds {
        if !given.switch(name)? {
            continue;
        }
        if what != Prediction::Value {
            return Err(Error::new(format!(
                "--{name} does not go with another kind of prediction"
            )));
        }
        what = kind;
    }
    let rounds = match given.one("iteration-range")? {
        None => 0..usize::MAX,
        Some(text) => iteration_range(&text)?,
    };
    let output = given.one("output")?;
    let format = given.one("format")?;
    let format = format.map(|name| OutputFormat::parse(&name)).transpose();
    let format = format.map_err(|error| refused("format", error))?;
    if output.is_none() && format.is_some_and(|format| format != OutputFormat::Csv) {
        return Err(Error::new(
            "standard output is CSV; --output names where another format goes",
        ));
    }
    let mut roles = given.roles()?;
    // What a table has beside features is not needed here and may be missing, but for margins.
    let mut unused = [
        &mut roles.label,
        &mut roles.lower,
        &mut roles.upper,
        &mut roles.weight,
        &mut roles.group,
    ];
    let unused = unused.iter_mut().filter_map(|column| column.take());
    roles.passed_over.extend(unused);
    let command = Predict {
        model: given.needed("model", "the input that is the model")?,
        roles,
        what,
        rounds,
        output,
        format,
        verbose: given.switch("verbose")?,
    };
    given.finish()?;
    Ok(Command::Predict(command))
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
        stratified: given.switch("stratified")?,
        metrics_out: given.one("metrics-out")?,
        params: given.params()?,
    }))
}

fn evaluate(mut given: Given) -> Result<Command> {
    Ok(Command::Evaluate(Evaluate {
        model: given.needed("model", "the input that is the model")?,
        roles: given.labelled_roles()?,
        evals: given.all("eval")?,
        metrics_out: given.one("metrics-out")?,
        params: given.params()?,
    }))
}

fn dump(mut given: Given) -> Result<Command> {
    let format = given.one("format")?;
    let format = format.map(|name| dump::Format::parse(&name)).transpose();
    let command = Dump {
        model: given.needed("model", "the input that is the model")?,
        format: format.map_err(|error| refused("format", error))?,
        stats: given.switch("stats")?,
        output: given.one("output")?,
    };
    given.finish()?;
    Ok(Command::Dump(command))
}

fn importance(mut given: Given) -> Result<Command> {
    let kind = given.one("type")?;
    let command = Importances {
        model: given.needed("model", "the input that is the model")?,
        kind: importance_called("type", kind)?,
        output: given.one("output")?,
    };
    given.finish()?;
    Ok(Command::Importance(command))
}

/// What counts, `gain` unless an option names something else.
fn importance_called(option: &str, name: Option<String>) -> Result<Importance> {
    let Some(name) = name else {
        return Ok(Importance::Gain);
    };
    Importance::parse(&name).map_err(|error| refused(option, error))
}

/// The error of an option's value.
fn refused(option: &str, error: ParamError) -> Error {
    Error::new(format!("--{option}: {}", error.reason))
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
            kind: importance_called("importance", importance)?,
            top: top.unwrap_or(20),
        },
        false => Plotted::Tree {
            number: number.unwrap_or(0),
            levels: levels.map_or(u32::MAX, |levels| u32::try_from(levels).unwrap_or(u32::MAX)),
        },
    };
    let command = Plot {
        model: given.needed("model", "the input that is the model")?,
        what,
        output: given.one("output")?,
    };
    given.finish()?;
    Ok(Command::Plot(command))
}
