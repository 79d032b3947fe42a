//! What a client asks of a host, request by request (protocol.md §9).
//!
//! Nothing a host answers is believed here: digests and signatures are checked where the answers
//! are used.

mod listing;
mod queue;
mod uploading;

use std::time::Duration;

use bytes::Bytes;
use mc2_protocol::{
    Digest, Manifest,
    documents::{
        control::{
            self, AskChallenge, AskEvidence, Challenge, ChallengeGiven, OpenSession, SessionOpened,
        },
        message::{self, Answer},
        receipt::{self, ReceiptError, SealedReceipt},
        record::Nonce,
        storage::{self, JobStatus, StartQuestion},
    },
    encoding::{JsonError, parse_json, to_json},
    sealed::{
        manifest::{self, ManifestError},
        small::{self, SmallObject, SmallObjectError},
    },
};
use mc2_wire::routes;

use crate::{
    exit::Exit,
    http::{Client, ConnectError, HostAddress, HttpError, Request, Trust},
    seal::{SealError, object::ObjectError},
};

pub use uploading::{Uploaded, upload_id};

/// Most bytes of the answer that is a challenge.
const MAX_CHALLENGE: usize = 4096;
/// Most bytes of one answer to the question how far a job is.
const MAX_STATUS: usize = 16 * 1024 * 1024;
/// How long the host is asked to wait for news of a job, in seconds.
const LONG_POLL: u64 = 25;
/// Compiling a large component takes minutes.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30 * 60);
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(120);
/// A component is sent in one piece, at this many bytes a second at least.
const SLOWEST_UPLOAD: u64 = 256 * 1024;

/// A host, as a client sees it.
///
/// ```no_run
/// use mc2_client::{
///     http::{HostAddress, Trust},
///     remote::Remote,
/// };
/// use mc2_protocol::Digest;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let address: HostAddress = "https://enclaves.example:8443".parse()?;
/// let remote = Remote::connect(address, &Trust::System)?;
/// let wasm = std::fs::read("target/workloads/sql.wasm")?;
/// let digest = Digest::of(&wasm);
/// if !remote.has_component(&digest).await? {
///     remote.put_component(&digest, wasm.into()).await?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Remote {
    client: Client,
}

/// A stream of a small object: sealed bytes, and nothing of them checked but their length.
#[derive(Clone, Debug)]
pub struct SmallStream {
    /// The list of its segments' digests.
    pub digests: Vec<u8>,
    /// Its sealed bytes.
    pub file: Vec<u8>,
}

/// Why a host's answer is of no use.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// There is none.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It is not what it should be.
    #[error("the host's answer is not valid")]
    Json(#[from] JsonError),
    /// Its receipt is not one.
    #[error("the host's receipt is not valid")]
    Receipt(#[from] ReceiptError),
    /// Its manifest is not the object's.
    #[error("the host's manifest is not valid")]
    Manifest(#[from] ManifestError),
    /// Its small object is not the one that was asked for.
    #[error("the host's object in one piece is not valid")]
    Small(#[from] SmallObjectError),
    /// The dataset could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It took an upload for another object.
    #[error("the host stored the upload as object {found}, expected {expected}")]
    Committed {
        /// The object that was sent.
        expected: Digest,
        /// The object it names.
        found: Digest,
    },
    /// It says that it has what it was never sent.
    #[error(
        "the host says that it has {found} bytes of stream {index} of the upload, which has {length}"
    )]
    Progress {
        /// The stream's number.
        index: usize,
        /// How many bytes there are.
        length: u64,
        /// How many it says it has.
        found: u64,
    },
    /// It has ever more.
    #[error("the host's list of {what} has more than the {most} bytes accepted")]
    TooMuch {
        /// What it lists.
        what: &'static str,
        /// Most bytes accepted.
        most: usize,
    },
    /// It answered with another session.
    #[error("the host answered with the record of session {found}, expected {expected}")]
    OtherSession {
        /// The session that was asked for.
        expected: Digest,
        /// The one whose record came.
        found: Digest,
    },
    /// A sealed object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A task ended early.
    #[error("sealing ended early")]
    Ended,
}

impl RemoteError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Http(error) => error.exit(),
            Self::Seal(SealError::Source(_) | SealError::Read { .. }) => Exit::BadInput,
            Self::Seal(_) | Self::Ended => Exit::Failed,
            Self::Object(error) => error.exit(),
            _ => Exit::ResultTampered,
        }
    }

    /// Whether the host says that what was asked for is over, or that it has none.
    pub const fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Http(HttpError::Refused {
                status: 404 | 410,
                ..
            })
        )
    }

    /// Whether asking again may help: the host is away, or not as far as whoever asks.
    pub fn is_passing(&self) -> bool {
        match self {
            // The answer to the submission may be quicker than the announcement of the job.
            Self::Http(error) if error.code() == Some("unknown-job") => true,
            Self::Http(HttpError::Refused { status, .. }) => *status >= 500,
            Self::Http(HttpError::Hostile { .. }) => false,
            Self::Http(_) => true,
            _ => false,
        }
    }
}

impl Remote {
    /// The host at `address`; nothing is connected yet.
    ///
    /// # Errors
    /// TLS is wanted and the roots cannot be read.
    pub fn connect(address: HostAddress, trust: &Trust) -> Result<Self, ConnectError> {
        Ok(Self::new(Client::new(address, trust)?))
    }

    /// The host behind `client`.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Where the host is.
    pub const fn address(&self) -> &HostAddress {
        self.client.address()
    }

    /// Whether the host has the component already.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn has_component(&self, component: &Digest) -> Result<bool, HttpError> {
        let call = Request::part(routes::component_path(component), 0, 1);
        match self.client.send(&call).await {
            Err(HttpError::Refused { status: 404, .. }) => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    /// Stores a component.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn put_component(&self, component: &Digest, wasm: Bytes) -> Result<(), HttpError> {
        let slowest = Duration::from_secs(wasm.len() as u64 / SLOWEST_UPLOAD);
        let call = Request::put(routes::component_path(component), wasm);
        self.client
            .send(&call.within(TRANSFER_TIMEOUT + slowest))
            .await?;
        Ok(())
    }

    /// A challenge of the process that will serve the policy of this digest, started where there
    /// is none.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn challenge(&self, policy: &Digest) -> Result<Challenge, RemoteError> {
        let body = to_json(&AskChallenge { policy: *policy });
        let path = routes::CHALLENGES_PATH.to_owned();
        let call = Request::post(path, body, MAX_CHALLENGE).within(TRANSFER_TIMEOUT);
        let answer = self.client.send(&call).await?;
        let given: ChallengeGiven = parse_json("the challenge", &answer.body, MAX_CHALLENGE)?;
        Ok(given.challenge)
    }

    /// Opens a session, which may take as long as compiling its components does.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn open_session(&self, open: &OpenSession) -> Result<SessionOpened, RemoteError> {
        let path = routes::SESSIONS_PATH.to_owned();
        let call = Request::post(path, to_json(open), control::MAX_LEN).within(OPEN_TIMEOUT);
        let answer = self.client.send(&call).await?;
        Ok(parse_json(
            "the opened session",
            &answer.body,
            control::MAX_LEN,
        )?)
    }

    /// A session's record, and evidence over it and `nonce`.
    ///
    /// # Errors
    /// [`RemoteError`]; also where the record is another session's.
    pub async fn evidence(
        &self,
        session: &Digest,
        nonce: Nonce,
    ) -> Result<SessionOpened, RemoteError> {
        let body = to_json(&AskEvidence { nonce });
        let path = routes::evidence_path(session);
        let call = Request::post(path, body, control::MAX_LEN).within(TRANSFER_TIMEOUT);
        let answer = self.client.send(&call).await?;
        let opened: SessionOpened =
            parse_json("the session's evidence", &answer.body, control::MAX_LEN)?;
        let found = Digest::of(opened.record.as_slice());
        if found != *session {
            let expected = *session;
            return Err(RemoteError::OtherSession { expected, found });
        }
        Ok(opened)
    }

    /// Sends a sealed message to a session.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn message(&self, session: &Digest, sealed: Vec<u8>) -> Result<Answer, RemoteError> {
        let path = routes::messages_path(session);
        let call = Request::post(path, sealed, message::MAX_LEN).within(TRANSFER_TIMEOUT);
        let answer = self.client.send(&call).await?;
        Ok(Answer::parse(&answer.body)?)
    }

    /// How far a job is, and its events after the first `after`; the host waits a while when there
    /// is nothing new. With the end of a job comes its receipt, where the host has that at hand.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn job_status(
        &self,
        session: &Digest,
        number: u64,
        after: u64,
    ) -> Result<JobStatus, RemoteError> {
        let path = routes::job_path(session, number);
        let path = format!("{path}?after={after}&wait={LONG_POLL}&receipt=true");
        let answer = self.client.send(&Request::get(path, MAX_STATUS)).await?;
        Ok(parse_json("the job's status", &answer.body, MAX_STATUS)?)
    }

    /// What a job waits for before it starts; `None` where it waits for nothing.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn start_question(
        &self,
        session: &Digest,
        number: u64,
    ) -> Result<Option<StartQuestion>, RemoteError> {
        let call = Request::get(routes::start_path(session, number), storage::MAX_START_LEN);
        match self.client.send(&call).await {
            Ok(answer) => Ok(Some(StartQuestion::parse(&answer.body)?)),
            Err(error) if error.code() == Some("not-waiting") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The sealed receipt of a job that ended.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn receipt(
        &self,
        session: &Digest,
        number: u64,
    ) -> Result<SealedReceipt, RemoteError> {
        let path = routes::receipt_path(session, number);
        let call = Request::get(path, 2 * receipt::MAX_LEN).within(TRANSFER_TIMEOUT);
        let answer = self.client.send(&call).await?;
        Ok(SealedReceipt::parse(&answer.body)?)
    }

    /// The manifest that `object` names.
    ///
    /// # Errors
    /// [`RemoteError`], also where the bytes are not those the id names.
    pub async fn manifest(&self, object: &Digest) -> Result<Manifest, RemoteError> {
        Ok(self.manifest_bytes(object).await?.0)
    }

    /// The manifest that `object` names, and its exact bytes.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn manifest_bytes(&self, object: &Digest) -> Result<(Manifest, Bytes), RemoteError> {
        let call = Request::get(routes::manifest_path(object), manifest::MAX_LEN);
        let answer = self.client.send(&call.within(TRANSFER_TIMEOUT)).await?;
        let bytes = answer.body.freeze();
        Ok((Manifest::parse_object(object, &bytes)?, bytes))
    }

    /// The manifest that `object` names and all streams of it; `None` where the host says that it is
    /// too large for one answer, or has it not.
    ///
    /// # Errors
    /// [`RemoteError`], also where the bytes are not those the id names.
    pub async fn small_object(
        &self,
        object: &Digest,
    ) -> Result<Option<(Manifest, Vec<SmallStream>)>, RemoteError> {
        let call = Request::get(routes::small_object_path(object), small::MAX_LEN);
        let answer = match self.client.send(&call.within(TRANSFER_TIMEOUT)).await {
            Err(HttpError::Refused { status: 404, .. }) => return Ok(None),
            answer => answer?,
        };
        let found = SmallObject::parse(&answer.body)?;
        let manifest = Manifest::parse_object(object, found.manifest_bytes())?;
        let streams = found.streams().iter().map(|stream| SmallStream {
            digests: stream.digests.to_vec(),
            file: stream.file.to_vec(),
        });
        Ok(Some((manifest, streams.collect())))
    }

    /// `length` bytes from `offset` of the sealed stream `index`.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn object_part(
        &self,
        object: &Digest,
        index: usize,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, HttpError> {
        let path = routes::file_path(object, index);
        self.range(path, offset, length).await
    }

    /// The first `length` bytes of the list of segment digests of stream `index`.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn object_digests(
        &self,
        object: &Digest,
        index: usize,
        length: usize,
    ) -> Result<Vec<u8>, HttpError> {
        let path = routes::digests_path(object, index);
        let mut digests = Vec::new();
        while digests.len() < length {
            let piece = (length - digests.len()).min(storage::MAX_PART_LEN);
            let piece = self
                .range(path.clone(), digests.len() as u64, piece)
                .await?;
            digests.extend_from_slice(&piece);
        }
        Ok(digests)
    }

    async fn range(&self, path: String, offset: u64, length: usize) -> Result<Vec<u8>, HttpError> {
        let call = Request::part(path, offset, length);
        let answer = self.client.send(&call.within(TRANSFER_TIMEOUT)).await?;
        Ok(answer.body.into())
    }
}
