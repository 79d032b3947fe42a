//! The sessions this person opened or joined: each a folder with what was appraised of it, and the
//! sequence numbers of what was told to it.

use std::{fs, io, path::PathBuf, time::SystemTime};

use mc2_protocol::{
    Digest,
    documents::{control, control::SessionOpened, record::Nonce},
    encoding::{Base64, to_json},
    policy::{self, Policy, PolicyError},
};
use serde::{Deserialize, Serialize};

use super::{
    State,
    error::StateError,
    sequence::Sequence,
    submissions::{broken, read_record},
};
use crate::files::{failed, private_folder, write_private};

/// A policy's base64, and an opened session beside it.
const MAX_LEN: usize = policy::MAX_LEN * 4 / 3 + control::MAX_LEN;
const FILE: &str = "session.json";
const WHAT: &str = "record of a session";
/// So many digits of a digest, at least, name a session or a job.
pub const SHORTEST: usize = 8;

/// A session as it was appraised here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownSession {
    version: u32,
    /// SHA-256 of its record's exact bytes.
    pub session: Digest,
    /// The host it is at, as it was named here.
    pub host: String,
    /// The authorities its certificate may come from, a PEM file, where not the system's.
    pub host_ca: Option<PathBuf>,
    /// The policy's exact bytes.
    policy: Base64,
    /// The nonce of the evidence that was appraised: this person's own.
    pub nonce: Nonce,
    /// Record and evidence, as they came.
    pub opened: SessionOpened,
    /// When that was appraised, in seconds since 1970 by this machine's clock.
    pub appraised: u64,
    /// Whether it was opened from here.
    pub own: bool,
}

impl KnownSession {
    /// What is known of the session that `opened` is the record and evidence of.
    pub fn new(
        host: String,
        host_ca: Option<PathBuf>,
        policy: &Policy,
        nonce: Nonce,
        opened: SessionOpened,
        appraised: u64,
        own: bool,
    ) -> Self {
        Self {
            version: mc2_protocol::VERSION,
            session: Digest::of(opened.record.as_slice()),
            host,
            host_ca,
            policy: Base64(policy.bytes().to_vec()),
            nonce,
            opened,
            appraised,
            own,
        }
    }

    /// The policy it was appraised against.
    ///
    /// # Errors
    /// The stored bytes are none of this release's policies.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        Policy::parse(self.policy.as_slice())
    }
}

impl State {
    /// Keeps what is known of a session, in place of what was.
    ///
    /// # Errors
    /// The system's.
    pub fn store_session(&self, known: &KnownSession) -> Result<(), StateError> {
        let folder = self.session_folder(&known.session)?;
        Ok(write_private(&folder.join(FILE), &to_json(known))?)
    }

    /// The session of this digest, where it is known here.
    ///
    /// # Errors
    /// The system's, or a file that is no record of this session.
    pub fn session(&self, session: &Digest) -> Result<Option<KnownSession>, StateError> {
        let path = self.session_path(session).join(FILE);
        let known: Option<KnownSession> = read_record(&path, WHAT, MAX_LEN)?;
        let own = |known: &KnownSession| {
            known.session == *session && Digest::of(known.opened.record.as_slice()) == *session
        };
        if known.as_ref().is_some_and(|known| !own(known)) {
            return Err(broken(path, WHAT, "it is another session's"));
        }
        Ok(known)
    }

    /// Every session that is known here, the one appraised last first.
    ///
    /// # Errors
    /// The system's, or a file that is no record of a session.
    pub fn sessions(&self) -> Result<Vec<KnownSession>, StateError> {
        let mut known = Vec::new();
        for name in self.names_in("sessions")? {
            if let Ok(session) = name.parse() {
                known.extend(self.session(&session)?);
            }
        }
        known.sort_by_key(|one: &KnownSession| std::cmp::Reverse(one.appraised));
        Ok(known)
    }

    /// The sequence numbers of a sender in a session.
    ///
    /// # Errors
    /// The system's.
    pub fn sequence(&self, session: &Digest, sender: &Digest) -> Result<Sequence, StateError> {
        let folder = self.session_folder(session)?;
        Ok(Sequence::at(folder.join(format!("sequence-{sender}"))))
    }

    /// Forgets the sequence numbers of sessions of which nothing else is known here and to which nothing
    /// was said since `since`. Numbers go by the clock, so whoever speaks to one again is heard.
    ///
    /// # Errors
    /// The system's.
    pub fn forget_numbers(&self, since: SystemTime) -> Result<(), StateError> {
        for name in self.names_in("sessions")? {
            let folder = self.root.join("sessions").join(name);
            let (mut some, mut old) = (false, true);
            for file in fs::read_dir(&folder).map_err(failed("list", &folder))? {
                let file = file.map_err(failed("list", &folder))?;
                let modified = file.metadata().and_then(|found| found.modified());
                let modified = modified.map_err(failed("look at", &file.path()))?;
                some = true;
                old &= file.file_name() != FILE && modified < since;
            }
            // One without any is being made.
            if some && old {
                fs::remove_dir_all(&folder).map_err(failed("remove", &folder))?;
            }
        }
        Ok(())
    }

    /// Where what is known of a session is kept.
    pub(crate) fn session_path(&self, session: &Digest) -> PathBuf {
        self.root.join("sessions").join(session.to_string())
    }

    pub(super) fn session_folder(&self, session: &Digest) -> Result<PathBuf, StateError> {
        let folder = self.folder("sessions")?.join(session.to_string());
        private_folder(&folder)?;
        Ok(folder)
    }

    /// The names of what is in one of the folders; none where it is not there.
    pub(crate) fn names_in(&self, folder: &str) -> Result<Vec<String>, StateError> {
        let folder = self.root.join(folder);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed("list", &folder))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed("list", &folder))?.file_name();
            names.extend(name.into_string());
        }
        Ok(names)
    }

    /// The names of those that end so, without that ending, sorted.
    pub(crate) fn stems_in(&self, folder: &str, ending: &str) -> Result<Vec<String>, StateError> {
        let names = self.names_in(folder)?;
        let stems = names.iter().filter_map(|name| name.strip_suffix(ending));
        let mut stems: Vec<String> = stems.map(str::to_owned).collect();
        stems.sort();
        Ok(stems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::bare_policy;
    use mc2_protocol::{Identity, documents::receipt::Evidence, encoding::Hex};

    fn known(record: &[u8], appraised: u64) -> KnownSession {
        let me = Identity::generate("me".parse().unwrap(), &mut crate::random());
        let policy = bare_policy(me.card(), 1);
        let opened = SessionOpened {
            record: Base64(record.to_vec()),
            evidence: Evidence {
                media_type: "x/y".to_owned(),
                value: Base64(vec![1]),
            },
            endorsements: Vec::new(),
        };
        let host = "unix:/tmp/x".to_owned();
        KnownSession::new(host, None, &policy, Hex([7; 32]), opened, appraised, true)
    }

    #[test]
    fn a_session_is_known_by_its_digest_and_another_s_record_is_refused_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        assert_eq!(state.sessions().unwrap(), []);
        let (one, two) = (known(b"one", 1), known(b"two", 2));
        state.store_session(&one).unwrap();
        state.store_session(&two).unwrap();
        assert_eq!(state.session(&one.session).unwrap(), Some(one.clone()));
        assert_eq!(state.sessions().unwrap(), [two.clone(), one.clone()]);
        assert_eq!(one.policy().unwrap().bytes(), one.policy.as_slice());

        let file = |of: &KnownSession| {
            let folder = state.session_folder(&of.session).unwrap();
            folder.join(FILE)
        };
        // Numbers alone go after a while, and what is known stays.
        let card = Digest::of(b"card");
        let numbers = |session: &Digest| state.sequence(session, &card).unwrap().next();
        let three = Digest::of(b"three");
        numbers(&three).unwrap();
        numbers(&one.session).unwrap();
        let hour = std::time::Duration::from_secs(3600);
        state.forget_numbers(SystemTime::now() - hour).unwrap();
        assert!(state.session_path(&three).exists());
        state.forget_numbers(SystemTime::now() + hour).unwrap();
        assert!(!state.session_path(&three).exists());
        assert_eq!(state.sessions().unwrap(), [two.clone(), one.clone()]);

        fs::copy(file(&one), file(&two)).unwrap();
        let read = state.session(&two.session);
        assert!(matches!(read, Err(StateError::Record { .. })));
    }
}
