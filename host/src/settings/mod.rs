//! A host's settings as a person gives them: on the command line, else in the environment, else in
//! a file of TOML. [`list`] has them all; what each means to a [`HostConfig`](crate::HostConfig) is
//! in `config.rs`.

mod config;
mod error;
mod list;
mod nearest;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use clap::{Arg, ArgAction, ArgMatches};

pub use error::{Origin, SettingsError};
use list::{Kind, SETTINGS, Setting, VARIABLES};
use nearest::nearest;

/// The flag, and with [`VARIABLES`] the variable, that names the file.
const CONFIG: &str = "config";
/// Largest configuration file, in bytes.
const MAX_FILE_LEN: u64 = 1024 * 1024;

/// The settings' flags, in their order.
static FLAGS: LazyLock<Vec<String>> =
    LazyLock::new(|| SETTINGS.iter().map(Setting::flag).collect());

/// Settings that were given, each from where it outweighs the others.
#[derive(Debug, Default)]
pub struct Settings(BTreeMap<&'static str, Given>);

/// The values of one setting.
#[derive(Clone, Debug)]
struct Given {
    origin: Origin,
    texts: Vec<String>,
}

impl Settings {
    /// The flags, for a [`clap::Command`].
    pub fn arguments() -> Vec<Arg> {
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .help("A file of settings as TOML, by the flags' names with `_` for `-`")
            .action(ArgAction::Set);
        let others = SETTINGS.iter().zip(FLAGS.iter()).map(|(setting, flag)| {
            let argument = Arg::new(setting.key)
                .long(flag.as_str())
                .value_name(setting.value)
                .help(help(setting));
            match setting.kind {
                Kind::One => argument.action(ArgAction::Set),
                Kind::Many => argument.action(ArgAction::Append),
                Kind::Switch => argument
                    .action(ArgAction::Set)
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true"),
            }
        });
        std::iter::once(config).chain(others).collect()
    }

    /// Reads what was given: flags outweigh `variables`, which outweigh the file.
    ///
    /// # Errors
    /// The file cannot be read, or something is there that is no setting.
    pub fn read(
        flags: &ArgMatches,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        let variables = Variables::read(variables)?;
        let named = flags.get_one::<String>(CONFIG).map(PathBuf::from);
        let mut settings = match named.or(variables.config) {
            Some(path) => Self::file(&path)?,
            None => Self::default(),
        };
        settings.0.extend(variables.settings.0);
        for setting in SETTINGS {
            if let Some(texts) = flags.get_many::<String>(setting.key) {
                let texts = texts.cloned().collect();
                settings.set(setting, Origin::Flag(setting.flag()), texts)?;
            }
        }
        Ok(settings)
    }

    /// Reads a file.
    fn file(path: &Path) -> Result<Self, SettingsError> {
        let failed = |source| SettingsError::Read {
            path: path.to_owned(),
            source,
        };
        let length = fs::metadata(path).map_err(failed)?.len();
        if length > MAX_FILE_LEN {
            let message = format!("it has {length} bytes, expected at most {MAX_FILE_LEN}");
            return Err(failed(std::io::Error::other(message)));
        }
        Self::parse(path, &fs::read_to_string(path).map_err(failed)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let table: toml::Table = toml::from_str(text).map_err(|error| SettingsError::Toml {
            path: path.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        })?;
        let mut settings = Self::default();
        for (key, value) in table {
            let origin = Origin::Key {
                path: path.to_owned(),
                key: key.clone(),
            };
            let setting = find(&origin, &key, |setting| setting.key.to_owned())?;
            let texts = match value {
                toml::Value::Array(values) => values
                    .into_iter()
                    .map(|value| plain(&origin, value))
                    .collect::<Result<_, _>>()?,
                value => vec![plain(&origin, value)?],
            };
            settings.set(setting, origin, texts)?;
        }
        Ok(settings)
    }

    fn set(
        &mut self,
        setting: &Setting,
        origin: Origin,
        texts: Vec<String>,
    ) -> Result<(), SettingsError> {
        if setting.kind != Kind::Many && texts.len() != 1 {
            let found = texts.len();
            return Err(SettingsError::Several { origin, found });
        }
        self.0.insert(setting.key, Given { origin, texts });
        Ok(())
    }
}

/// What the environment has.
#[derive(Default)]
struct Variables {
    config: Option<PathBuf>,
    settings: Settings,
}

impl Variables {
    fn read(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        let mut read = Self::default();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLES)) else {
                continue;
            };
            let origin = Origin::Variable(name.to_owned());
            if name.strip_prefix(VARIABLES) == Some(&CONFIG.to_uppercase()) {
                read.config = Some(value.into());
                continue;
            }
            let setting = find(&origin, name, Setting::variable)?;
            let Ok(text) = value.into_string() else {
                return Err(SettingsError::Value {
                    origin,
                    expected: "text in UTF-8".to_owned(),
                    found: "other bytes".to_owned(),
                });
            };
            let texts = match setting.kind {
                Kind::Many => text.split(',').map(|one| one.trim().to_owned()).collect(),
                _ => vec![text],
            };
            read.settings.set(setting, origin, texts)?;
        }
        Ok(read)
    }
}

/// The setting that `spelt` spells as `found`.
fn find(
    origin: &Origin,
    found: &str,
    spelt: impl Fn(&Setting) -> String,
) -> Result<&'static Setting, SettingsError> {
    SETTINGS
        .iter()
        .find(|setting| spelt(setting) == found)
        .ok_or_else(|| SettingsError::Unknown {
            origin: origin.clone(),
            nearest: nearest(found, SETTINGS.iter().map(spelt)),
        })
}

/// A value of a file as the text a flag would have.
fn plain(origin: &Origin, value: toml::Value) -> Result<String, SettingsError> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(switch) => Ok(switch.to_string()),
        other => Err(SettingsError::Value {
            origin: origin.clone(),
            expected: "text, a whole number, true or false, or a list of them".to_owned(),
            found: other.type_str().to_owned(),
        }),
    }
}

fn help(setting: &Setting) -> String {
    let repeated = match setting.kind {
        Kind::Many => "; may be repeated",
        _ => "",
    };
    format!("{}{repeated} [{}]", setting.help, setting.variable())
}
