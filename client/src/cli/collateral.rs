//! Which collateral a command uses, and `mc2 collateral`, which fetches it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mc2_attestation::{Evidence, evidence, tee};
use mc2_protocol::Digest;
use serde_json::json;

use super::{appraise::Kind, object};
use crate::{
    collateral::{
        Bundle, BundleError, CollateralOptions,
        fetch::{FetchError, Sources},
    },
    exit::Exit,
    files::{FileError, lock, read_capped},
    http::{AddressError, Patience, Proxy, ServiceUrl, Trust},
    state::{State, StateError},
    terminal::printable,
    unix_seconds,
};

/// Which of the vendors' collateral is at hand.
#[derive(Args, Clone, Debug)]
pub struct CollateralArgs {
    /// A bundle of vendors' collateral, from `mc2 collateral fetch`, rather than the one it keeps in
    /// the state folder
    #[arg(long = "collateral", value_name = "FILE")]
    file: Option<PathBuf>,
    /// How many days collateral is used after it was fetched; 30 where nothing is said
    #[arg(long = "max-collateral-age", value_name = "DAYS")]
    max_age_days: Option<u32>,
}

impl From<&CollateralArgs> for CollateralOptions {
    fn from(args: &CollateralArgs) -> Self {
        Self {
            file: args.file.clone(),
            max_age_days: args.max_age_days,
        }
    }
}

/// What to do about collateral.
#[derive(Subcommand)]
pub enum CollateralCommand {
    /// Fetch what evidence is judged by from the vendors of enclaves
    Fetch(Fetch),
}

/// For what, from whom, and where to.
#[derive(Args)]
pub struct Fetch {
    /// The session whose evidence it is for; where neither this nor --evidence is given, the evidence
    /// that was refused here last
    #[arg(long, value_name = "DIGEST", conflicts_with = "evidence")]
    session: Option<Digest>,
    /// The evidence it is for: the bytes the enclave's hardware gave
    #[arg(long, value_name = "FILE", requires = "tee")]
    evidence: Option<PathBuf>,
    /// The kind of enclave that evidence is of
    #[arg(long, requires = "evidence")]
    tee: Option<Kind>,
    /// The bundle to put it into, made where it is not there; the state folder's, which all commands
    /// use, where nothing is said
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Intel's service (PCS), or a PCCS
    #[arg(long, value_name = "URL", default_value = Sources::INTEL)]
    intel: ServiceUrl,
    /// Where the revocation list of Intel's root is; where nothing is said, at Intel's own address
    /// for Intel's own service, and behind the same address for a PCCS
    #[arg(long, value_name = "URL")]
    intel_root_list: Option<ServiceUrl>,
    /// AMD's service (KDS)
    #[arg(long, value_name = "URL", default_value = Sources::AMD)]
    amd: ServiceUrl,
    /// The certificate authorities of the service, a PEM file, rather than this system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The proxy, http://[USER:PASSWORD@]NAME:PORT, rather than that of the variable HTTPS_PROXY
    #[arg(long, value_name = "URL")]
    proxy: Option<Proxy>,
    /// Write one JSON object to standard output
    #[arg(long)]
    json: bool,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A bundle that is none.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// An address that is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The services.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// No session of that digest.
    #[error("no session {session} is known here: `mc2 session list` shows those that are")]
    UnknownSession {
        /// Its digest.
        session: Digest,
    },
    /// Evidence that nobody has collateral of.
    #[error(
        "no service has anything about a TPM's quote with nothing beneath it: its key's certificate \
         comes from whoever runs the machine"
    )]
    NoVendor,
    /// Nothing to fetch it for.
    #[error(
        "no evidence was refused here, so there is nothing to fetch collateral for: name a session with \
         --session, or evidence with --tee and --evidence"
    )]
    Nothing,
}

impl CommandError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            Self::File(_) => Exit::CannotWrite,
            Self::Fetch(FetchError::Service(_)) => Exit::HostUnreachable,
            Self::Fetch(FetchError::Answer { .. } | FetchError::Other { .. }) => {
                Exit::ResultTampered
            }
            _ => Exit::BadInput,
        }
    }
}

impl CollateralCommand {
    /// Does it, and returns what is to be said.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run(&self, state: &State) -> Result<String, CommandError> {
        match self {
            Self::Fetch(fetch) => fetch.run(state).await,
        }
    }
}

impl Fetch {
    async fn run(&self, state: &State) -> Result<String, CommandError> {
        let evidence = self.wanted(state)?;
        let (needs, found) = self.sources()?.fetch(&evidence).await?;
        let path = self.output.clone().unwrap_or_else(|| state.collateral());
        let parts: Vec<String> = found.iter().map(|one| one.media_type.clone()).collect();
        if !found.is_empty() {
            // Two that fetch at once both leave what they fetched.
            let _lock = lock(&path.with_extension("lock"))?;
            let mut bundle = match path.exists() {
                true => Bundle::read(&path)?,
                false => Bundle::default(),
            };
            bundle.take(&needs, found, unix_seconds(std::time::SystemTime::now()));
            bundle.write(&path)?;
        }
        if self.json {
            let fields = json!({ "fetched": parts, "bundle": path });
            return Ok(object("fetched", Exit::Success, fields));
        }
        if parts.is_empty() {
            return Ok(
                "nothing to fetch: such evidence has all it is judged by in it\n".to_owned(),
            );
        }
        let mut text = String::new();
        for part in &parts {
            text.push_str(&format!("fetched  {}\n", printable(part)));
        }
        text.push_str(&format!("bundle   {}\n", path.display()));
        if self.output.is_some() {
            text.push_str(
                "next     run the command that was refused again, with --collateral FILE\n",
            );
        } else {
            text.push_str("next     run the command that was refused again\n");
        }
        Ok(text)
    }

    /// The evidence that is to be judged.
    fn wanted(&self, state: &State) -> Result<Evidence, CommandError> {
        if let (Some(path), Some(kind)) = (&self.evidence, self.tee) {
            let tee = kind.subject().tee().ok_or(CommandError::NoVendor)?;
            return Ok(Evidence {
                media_type: tee::media_type(tee).to_owned(),
                value: read_capped(path, evidence::MAX_LEN)?.into(),
            });
        }
        let Some(session) = self.session else {
            return state.refused()?.ok_or(CommandError::Nothing);
        };
        let known = state.session(&session)?;
        let known = known.ok_or(CommandError::UnknownSession { session })?;
        Ok(known.opened.evidence)
    }

    fn sources(&self) -> Result<Sources, CommandError> {
        let own: ServiceUrl = Sources::INTEL.parse()?;
        let intel_root_list = match &self.intel_root_list {
            Some(url) => Some(url.clone()),
            None if self.intel.name() == own.name() => Some(Sources::INTEL_ROOT_LIST.parse()?),
            None => None,
        };
        Ok(Sources {
            intel: self.intel.clone(),
            intel_root_list,
            amd: self.amd.clone(),
            trust: self.ca.clone().map_or(Trust::System, Trust::File),
            proxy: self.proxy.clone(),
            patience: Patience::default(),
        })
    }
}
