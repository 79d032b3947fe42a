//! Connecting: to a host elsewhere, or to one of this process's own with a simulator. NOT SECURE then.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use mc2_attestation::TrustStore;
use mc2_protocol::policy::Tee;
use tokio::sync::Semaphore;

use super::{
    AT_ONCE, Enclave,
    agreed::{Agreed, Terms},
    sessions::Sessions,
};
use crate::{
    collateral::{Collateral, CollateralOptions},
    http::{HostAddress, Trust},
    remote::Remote,
    run::{Embedded, InputError, RunError},
    simulator,
    state::State,
    verbs::Member,
};

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The host; one is started where there is none.
    pub host: Option<HostAddress>,
    /// The certificate authorities a host's certificate may come from.
    pub host_ca: Option<PathBuf>,
    /// The kind of TEE, where there is a host.
    pub tee: Option<Tee>,
    /// Whether a simulator at a host may pass. NOT SECURE.
    pub allow_simulated: bool,
    /// The runtime to start; with a host, the one that its simulators must run.
    pub runtime: Option<PathBuf>,
    /// The identity, by name or path.
    pub identity: Option<String>,
    /// Which of the vendors' collateral is used.
    pub collateral: CollateralOptions,
    /// The policy that was agreed, where others take part or one of one's own is kept; else one is
    /// written for each shape of a call.
    pub terms: Option<Terms>,
}

/// An enclave, and what was started for it.
///
/// ```no_run
/// use mc2_client::enclave::{Call, Data, Opened, Options};
/// use mc2_client::{run::Stop, workload::Workload};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let opened = Opened::open(Options::default()).await?;
/// let enclave = opened.enclave();
/// let stop = Stop::never();
/// let sales = Data::Path("sales.parquet".into());
/// let sales = enclave.seal("sales".parse()?, sales, |_| (), &stop).await?;
/// let sql = Workload::read("target/workloads/sql.wasm".as_ref())?;
/// let call = Call {
///     inputs: vec![("sales".parse()?, sales)],
///     arguments: vec!["select count(*) from sales".into()],
///     ..Call::of(sql)
/// };
/// let mut done = enclave.call(&call, &(std::sync::Arc::new(|_: mc2_client::run::RunEvent<'_>| ()) as _), &stop).await?;
/// println!("{}", String::from_utf8_lossy(&done.take_stdout()?));
/// opened.close().await;
/// # Ok(())
/// # }
/// ```
pub struct Opened {
    enclave: Arc<Enclave>,
    embedded: Mutex<Option<Embedded>>,
}

impl Opened {
    /// Connects to the host that is asked for, or starts one.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn open(options: Options) -> Result<Self, RunError> {
        let state = State::locate()?;
        if options.terms.is_some() && options.tee.is_some() {
            return Err(InputError::Together(TEE_AND_POLICY).into());
        }
        let own = Own {
            collateral: options.collateral.read(state.collateral())?,
            state,
        };
        match options.host.clone() {
            Some(address) => Self::at(address, &options, own),
            None => Self::here(&options, own).await,
        }
    }

    fn at(address: HostAddress, options: &Options, own: Own) -> Result<Self, RunError> {
        let tee = match options.tee {
            Some(tee) => tee,
            None if options.allow_simulated || options.terms.is_some() => Tee::Sim,
            None => return Err(InputError::Together(NO_TEE).into()),
        };
        let roots = match &options.host_ca {
            Some(path) => Trust::File(path.clone()),
            None => Trust::System,
        };
        let (allowed, runtime) = (options.allow_simulated, options.runtime.as_deref());
        let trust = simulator::trusted(&own.state, &address, allowed, runtime)?;
        let remote = Remote::connect(address, &roots)?;
        let at = Host {
            remote,
            trust,
            tee,
            here: false,
        };
        let enclave = own.enclave(at, options)?;
        Ok(Self {
            enclave: Arc::new(enclave),
            embedded: Mutex::new(None),
        })
    }

    async fn here(options: &Options, own: Own) -> Result<Self, RunError> {
        let runtime = options.runtime.clone().unwrap_or_else(simulator::binary);
        if !runtime.is_file() {
            return Err(InputError::NoRuntime { looked: runtime }.into());
        }
        let embedded = Embedded::start(&runtime, "vm", simulator::pins()).await?;
        let enclave = embedded.remote().and_then(|remote| {
            let at = Host {
                remote,
                trust: embedded.trust.clone(),
                tee: Tee::Sim,
                here: true,
            };
            own.enclave(at, options)
        });
        match enclave {
            Ok(enclave) => Ok(Self {
                enclave: Arc::new(enclave),
                embedded: Mutex::new(Some(embedded)),
            }),
            Err(error) => {
                embedded.stop().await;
                Err(error)
            }
        }
    }

    /// The enclave.
    pub fn enclave(&self) -> Arc<Enclave> {
        Arc::clone(&self.enclave)
    }

    /// Ends what was started, or the sessions at a host elsewhere. Calls that are on their way fail.
    pub async fn close(&self) {
        self.enclave.end().await;
        let embedded = self.embedded.lock();
        let embedded = embedded.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(embedded) = embedded {
            embedded.stop().await;
        }
    }
}

const NO_TEE: &str = "a host without a policy needs a tee: which kind of enclave you accept (sgx, \
                      tdx, sev-snp, nitro, azure-vtpm), or that simulators are allowed, to try \
                      things out, NOT SECURE";
const TEE_AND_POLICY: &str =
    "tee does not go with a policy: the policy states the kinds of enclave";

/// A host that is connected.
struct Host {
    remote: Remote,
    trust: TrustStore,
    tee: Tee,
    here: bool,
}

/// Who asks.
struct Own {
    state: State,
    collateral: Option<Collateral>,
}

impl Own {
    fn enclave(self, at: Host, options: &Options) -> Result<Enclave, RunError> {
        let allow_simulated = at.here || options.allow_simulated;
        let (agreed, identity, tee) = match options.terms.clone() {
            Some(terms) => {
                let simulated = at.here || options.runtime.is_some();
                let trust = simulated.then(|| at.trust.clone());
                let member = Member {
                    state: self.state.clone(),
                    identity: options.identity.clone(),
                    allow_simulated,
                    collateral: self.collateral.clone(),
                    trust,
                };
                let host = at.remote.address().clone();
                let host_ca = options.host_ca.clone();
                let (agreed, identity) = Agreed::new(terms, member, host, host_ca)?;
                let tee = agreed.tee();
                (Some(agreed), identity, tee)
            }
            None => {
                let identity = match &options.identity {
                    Some(name) => self.state.identity(name)?,
                    None => self.state.default_identity()?,
                };
                (None, identity, at.tee)
            }
        };
        Ok(Enclave {
            remote: at.remote,
            here: at.here,
            trust: at.trust,
            allow_simulated,
            tee,
            state: self.state,
            identity: Arc::new(identity),
            collateral: self.collateral,
            sessions: Sessions::default(),
            agreed,
            running: Semaphore::new(AT_ONCE),
        })
    }
}
