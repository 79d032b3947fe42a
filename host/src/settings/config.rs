//! What settings mean to a host.

use std::{env, net::SocketAddr, num::NonZeroU32, path::PathBuf, str::FromStr, time::Duration};

use mc2_protocol::{
    encoding::hex_array,
    policy::{Duration as Time, Size},
};
use mc2_wire::Address;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{Given, Settings, SettingsError, list::key};
use crate::config::{
    HostConfig, Launcher, Link, Pace, Quota, Rate, Retention, Spawn, Storage, Timeouts, Tls, Token,
};

/// Where clients connect unless something is stated.
const LISTEN: &str = "127.0.0.1:8440";
/// What is shown of a value that is refused, in characters.
const SHOWN: usize = 100;

impl Settings {
    /// Whether the runtimes are simulators, whose evidence proves nothing.
    ///
    /// # Errors
    /// The setting is neither `true` nor `false`.
    pub fn simulated(&self) -> Result<bool, SettingsError> {
        let stated = self.get(key::simulator, "true or false")?;
        let others = [key::runtime, key::runtime_listen];
        Ok(stated.unwrap_or_else(|| others.iter().all(|key| !self.0.contains_key(key))))
    }

    /// The configuration they state; what they do not has its default.
    ///
    /// # Errors
    /// A value is not one, or two do not go together.
    pub fn config(&self) -> Result<HostConfig, SettingsError> {
        let folder = match self.get::<PathBuf>(key::folder, "a path")? {
            Some(folder) => folder,
            None => state_folder()?,
        };
        let mut config = HostConfig::new(folder, self.launcher()?);
        config.cache_folder = self.get(key::cache_folder, "a path")?;
        config.client_listen = self.listen()?;
        config.runtime_listen = self.runtime_listen()?;
        config.tls = self.tls()?;
        config.tokens = self.tokens()?;
        config.address_rate = self
            .get(
                key::address_rate,
                "a whole number of requests a second, at least 1",
            )?
            .map(Rate);
        config.timeouts = self.timeouts()?;
        self.replace(
            &mut config.max_runtimes,
            key::max_runtimes,
            "a whole number",
        )?;
        self.replace(
            &mut config.max_connections,
            key::max_connections,
            "a whole number",
        )?;
        self.replace(&mut config.max_queued, key::max_queued, "a whole number")?;
        self.replace(&mut config.durable, key::durable, "true or false")?;
        config.storage = self.storage()?;
        config.retention = self.retention()?;
        config.quota = self.quota()?;
        if let Some(size) = self.size(key::body_memory)? {
            config.body_memory = usize::try_from(size).unwrap_or(usize::MAX);
        }
        if let Some(size) = self.size(key::cache_limit)? {
            config.cache_limit = size;
        }
        Ok(config)
    }

    fn storage(&self) -> Result<Option<Storage>, SettingsError> {
        let expected = "NAME=VALUE";
        let option = |text: &str| {
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        let options = self.0.get(key::storage_option);
        let url = match (self.get(key::storage, "the address of a bucket")?, options) {
            (Some(url), _) => url,
            (None, None) => return Ok(None),
            (None, Some(options)) => {
                return Err(SettingsError::Missing {
                    one: options.origin.clone(),
                    missing: key::storage,
                });
            }
        };
        let options = options
            .map(|given| given.each(expected, option))
            .transpose()?;
        Ok(Some(Storage {
            url,
            options: options.unwrap_or_default(),
        }))
    }

    fn retention(&self) -> Result<Retention, SettingsError> {
        let mut retention = Retention::default();
        if let Some(age) = self.age(key::keep_uploads)? {
            retention.uploads = age;
        }
        for (age, key) in [
            (&mut retention.receipts, key::keep_receipts),
            (&mut retention.sessions, key::keep_sessions),
            (&mut retention.notes, key::keep_notes),
            (&mut retention.objects, key::keep_objects),
            (&mut retention.components, key::keep_components),
        ] {
            *age = self.age(key)?;
        }
        retention.every = self.time(key::collect_every)?.unwrap_or(retention.every);
        if let (Some(folder), Some(keep)) = (
            self.0.get(key::cache_folder),
            self.0.get(key::keep_components),
        ) {
            // Another host's sessions may need what none of this one's does.
            return Err(SettingsError::Conflict {
                one: keep.origin.clone(),
                other: folder.origin.clone(),
            });
        }
        Ok(retention)
    }

    fn quota(&self) -> Result<Quota, SettingsError> {
        let number = "a whole number";
        let mut quota = Quota {
            object_bytes: self.storage_size(key::max_object_bytes)?,
            component_bytes: self.storage_size(key::max_component_bytes)?,
            sessions_of_card: self.get(key::max_sessions_of_card, number)?,
            ..Quota::default()
        };
        self.replace(&mut quota.sessions, key::max_sessions, number)?;
        Ok(quota)
    }

    fn storage_size(&self, key: &str) -> Result<Option<u64>, SettingsError> {
        let given = self.0.get(key);
        let given = given.map(|given| given.one("a size such as `50GiB` or `2PiB`", storage_size));
        given.transpose()
    }

    fn age(&self, key: &str) -> Result<Option<Duration>, SettingsError> {
        let given = self.0.get(key);
        let given = given.map(|given| given.one("a time such as `12h` or `90d`", age));
        given.transpose()
    }

    fn launcher(&self) -> Result<Launcher, SettingsError> {
        let simulated = self.simulated()?;
        if let Some(listen) = self.0.get(key::runtime_listen) {
            let switched = self.0.get(key::simulator).filter(|_| simulated);
            if let Some(other) = switched.or_else(|| self.0.get(key::runtime)) {
                return Err(SettingsError::Conflict {
                    one: listen.origin.clone(),
                    other: other.origin.clone(),
                });
            }
            return Ok(Launcher::Connect);
        }
        let binary = match self.get::<PathBuf>(key::runtime, "a path")? {
            Some(binary) => binary,
            None => {
                let own = env::current_exe().map_err(SettingsError::OwnFolder)?;
                own.with_file_name(if simulated {
                    "mc2-runtime-sim"
                } else {
                    "mc2-runtime"
                })
            }
        };
        let profile = self.one_of(key::engine_profile, &[("vm", "vm"), ("sgx", "sgx")])?;
        let link = self.one_of(
            key::runtime_link,
            &[("unix", Link::Unix), ("loopback", Link::Loopback)],
        )?;
        let mut spawn = if simulated {
            Spawn::simulator(binary, profile)
        } else {
            Spawn::runtime(binary, profile)
        };
        // What `mc2-run` has its simulators keep: a component is compiled once for this user.
        if let (true, Some(cache)) = (simulated, of_user("XDG_CACHE_HOME", ".cache")) {
            let compiled = cache.join("mc2/compiled");
            spawn.arguments = vec!["--compilation-cache".into(), compiled.into()];
        }
        Ok(Launcher::Spawn(Spawn { link, ..spawn }))
    }

    fn listen(&self) -> Result<Vec<Address>, SettingsError> {
        let parse = |text: &str| match text.parse::<SocketAddr>() {
            Ok(address) => Some(Address::Tcp(address)),
            Err(_) => text.parse().ok(),
        };
        match self.0.get(key::listen) {
            None => Ok(parse(LISTEN).into_iter().collect()),
            Some(given) => given.each("IP:PORT, tcp:IP:PORT or unix:PATH", parse),
        }
    }

    fn runtime_listen(&self) -> Result<Vec<Address>, SettingsError> {
        match self.0.get(key::runtime_listen) {
            None => Ok(Vec::new()),
            Some(given) => given.each("unix:PATH, tcp:IP:PORT or vsock:CID:PORT", |text| {
                text.parse().ok()
            }),
        }
    }

    fn tls(&self) -> Result<Option<Tls>, SettingsError> {
        let needs = |one: &Given, missing| SettingsError::Missing {
            one: one.origin.clone(),
            missing,
        };
        let (chain, private) = match (self.0.get(key::tls_cert), self.0.get(key::tls_key)) {
            (None, None) => return Ok(None),
            (Some(chain), Some(private)) => (chain, private),
            (Some(chain), None) => return Err(needs(chain, key::tls_key)),
            (None, Some(private)) => return Err(needs(private, key::tls_cert)),
        };
        let certificates = pem(chain, |path| {
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect)
        })?;
        Ok(Some(Tls {
            chain: certificates,
            key: pem(private, |path| PrivateKeyDer::from_pem_file(path))?,
        }))
    }

    fn tokens(&self) -> Result<Vec<Token>, SettingsError> {
        let Some(given) = self.0.get(key::token) else {
            return Ok(Vec::new());
        };
        let expected = "NAME=SHA256, NAME=SHA256@RATE, NAME=SHA256:SIZE or NAME=SHA256@RATE:SIZE: \
                        the SHA-256 of the token as 64 lower-case hexadecimal digits, requests a \
                        second, and bytes that are kept";
        given.each(expected, token)
    }

    fn timeouts(&self) -> Result<Timeouts, SettingsError> {
        let mut timeouts = Timeouts::default();
        let Timeouts {
            start,
            open,
            relay,
            body:
                Pace {
                    pause,
                    grace,
                    slowest,
                },
            head,
            stall,
            absence,
            idle,
        } = &mut timeouts;
        for (time, key) in [
            (start, key::start_timeout),
            (open, key::open_timeout),
            (relay, key::relay_timeout),
            (head, key::head_timeout),
            (stall, key::stall_timeout),
            (pause, key::body_pause),
            (grace, key::body_grace),
            (absence, key::absence),
            (idle, key::idle),
        ] {
            if let Some(stated) = self.time(key)? {
                *time = stated;
            }
        }
        if let Some(size) = self.size(key::body_rate)? {
            *slowest = u32::try_from(size).unwrap_or(u32::MAX);
        }
        Ok(timeouts)
    }

    fn time(&self, key: &str) -> Result<Option<Duration>, SettingsError> {
        let stated = self.get::<Time>(key, "a time such as `30s` or `5min`")?;
        Ok(stated.map(|time| Duration::from_millis(time.millis())))
    }

    fn size(&self, key: &str) -> Result<Option<u64>, SettingsError> {
        Ok(self
            .get::<Size>(key, "a size such as `64MiB`")?
            .map(Size::bytes))
    }

    fn replace<T: FromStr>(
        &self,
        value: &mut T,
        key: &str,
        expected: &str,
    ) -> Result<(), SettingsError> {
        if let Some(stated) = self.get(key, expected)? {
            *value = stated;
        }
        Ok(())
    }

    /// One of these words, the first where none is stated.
    fn one_of<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<T, SettingsError> {
        let listed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let known = |text: &str| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value)
        };
        match self.0.get(key) {
            None => Ok(words[0].1),
            Some(given) => given.one(&listed.join(" or "), known),
        }
    }

    fn get<T: FromStr>(&self, key: &str, expected: &str) -> Result<Option<T>, SettingsError> {
        let given = self.0.get(key);
        given
            .map(|given| given.one(expected, |text| text.parse().ok()))
            .transpose()
    }
}

impl Given {
    fn each<T>(
        &self,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, SettingsError> {
        let texts = self.texts.iter();
        texts
            .map(|text| {
                parse(text).ok_or_else(|| SettingsError::Value {
                    origin: self.origin.clone(),
                    expected: expected.to_owned(),
                    found: text.chars().take(SHOWN).collect(),
                })
            })
            .collect()
    }

    fn one<T>(
        &self,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, SettingsError> {
        let found = self.texts.len();
        let several = || SettingsError::Several {
            origin: self.origin.clone(),
            found,
        };
        self.each(expected, parse)?.pop().ok_or_else(several)
    }
}

fn pem<T>(
    given: &Given,
    read: impl Fn(&PathBuf) -> Result<T, rustls::pki_types::pem::Error>,
) -> Result<T, SettingsError> {
    let path: PathBuf = given.one("a path", |text| Some(text.into()))?;
    read(&path).map_err(|source| SettingsError::Pem {
        origin: given.origin.clone(),
        path,
        source,
    })
}

/// A time, which may be in days.
fn age(text: &str) -> Option<Duration> {
    match text.strip_suffix('d') {
        Some(days) if days.bytes().all(|byte| byte.is_ascii_digit()) => {
            let days: u32 = days.parse().ok()?;
            Some(Duration::from_secs(u64::from(days) * 24 * 60 * 60))
        }
        _ => text
            .parse()
            .ok()
            .map(|time: Time| Duration::from_millis(time.millis())),
    }
}

/// A size, which may be larger than a policy's.
fn storage_size(text: &str) -> Option<u64> {
    match text.strip_suffix("PiB") {
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            number.parse::<u64>().ok()?.checked_mul(1 << 50)
        }
        _ => text.parse().ok().map(Size::bytes),
    }
}

/// `NAME=SHA256`, then perhaps `@RATE`, then perhaps `:SIZE`.
fn token(text: &str) -> Option<Token> {
    let (name, rest) = text.split_once('=')?;
    let (rest, bytes) = match rest.split_once(':') {
        Some((rest, size)) => (rest, Some(storage_size(size)?)),
        None => (rest, None),
    };
    let (digest, rate) = match rest.split_once('@') {
        Some((digest, rate)) => (digest, Some(Rate(rate.parse::<NonZeroU32>().ok()?))),
        None => (rest, None),
    };
    (!name.is_empty()).then_some(Token {
        name: name.to_owned(),
        sha256: hex_array(digest)?,
        rate,
        bytes,
    })
}

/// The user's own place for a host's state.
fn state_folder() -> Result<PathBuf, SettingsError> {
    let state = of_user("XDG_STATE_HOME", ".local/state");
    Ok(state.ok_or(SettingsError::NoFolder)?.join("mc2/host"))
}

/// The folder that a variable names, or its place in the user's home.
fn of_user(variable: &str, below_home: &str) -> Option<PathBuf> {
    let named = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    named(variable).or_else(|| Some(named("HOME")?.join(below_home)))
}
