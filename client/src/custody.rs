//! Keys that are kept in custody: to be released to later jobs of one policy, and to be opened with
//! by nobody.
//!
//! The runtime wraps such a key to its custodian alone, whose client takes it out of the job's
//! receipt once every link of that held, keeps it apart from the keys of own data, and gives it to
//! sessions of that one policy, counting in its ledger. The custodian's own machine could do
//! otherwise; nobody else's can.

use mc2_protocol::{
    DataKey, Digest, Identity, Name, SecretKey,
    crypto::hpke::HpkeError,
    documents::{
        custody::{CustodyOf, CustodySecret},
        message::Release,
    },
    encoding::secret_json,
    policy::{Custody, Policy},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::verify::Verified;

/// One key in custody. No `Debug`: it holds the key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustodyKey {
    version: u32,
    /// The policy whose jobs it is for.
    pub policy: Digest,
    /// Digest of the custodian's card.
    pub holder: Digest,
    /// The job that left the output.
    pub job: Digest,
    /// The output's name in the policy.
    pub output: Name,
    /// Its object id.
    pub object: Digest,
    /// Its plaintext's length in bytes before padding.
    pub length: u64,
    /// For how many runs of later jobs the policy lets it be released in all.
    pub runs: u32,
    pub(crate) key: SecretKey,
}

/// Why a key was not taken into custody.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// It does not open.
    #[error("the key of {output} is not sealed to this card for this session, job and count")]
    Sealed {
        /// The output.
        output: Name,
        /// What went wrong.
        source: HpkeError,
    },
    /// A stored one that is none.
    #[error("not a key in custody")]
    Stored(#[from] serde_json::Error),
}

/// The keys that a verified receipt gives into `holder`'s custody.
///
/// ```no_run
/// use mc2_client::{custody, state::State, verify::Verified};
/// use mc2_protocol::Identity;
///
/// fn keep(verified: &Verified, me: &Identity) -> Result<(), Box<dyn std::error::Error>> {
///     let state = State::locate()?;
///     for key in custody::kept(verified, me)? {
///         state.store_custody_key(&key)?;
///         println!("{} is kept for {} runs", key.output, key.runs);
///     }
///     Ok(())
/// }
/// ```
///
/// # Errors
/// [`CustodyError::Sealed`]: the enclave sealed something else to this card.
pub fn kept(verified: &Verified, holder: &Identity) -> Result<Vec<CustodyKey>, CustodyError> {
    let (receipt, card) = (&verified.receipt, holder.card().digest());
    let own = receipt
        .custody
        .iter()
        .filter(|one| one.holder.card == *card);
    let keys = own.map(|entry| {
        let of = CustodyOf {
            session: verified.session.digest(),
            job: &receipt.job,
            output: &entry.name,
            runs: entry.runs,
        };
        let secret = CustodySecret::open(of, &entry.holder, holder);
        let secret = secret.map_err(|source| CustodyError::Sealed {
            output: entry.name.clone(),
            source,
        })?;
        Ok(CustodyKey {
            version: mc2_protocol::VERSION,
            policy: *verified.policy.digest(),
            holder: *card,
            job: receipt.job,
            output: entry.name.clone(),
            object: entry.object,
            length: secret.length,
            runs: entry.runs,
            key: secret.key,
        })
    });
    keys.collect()
}

/// What the jobs of a policy leave in custody, and who keeps it.
pub fn outputs(policy: &Policy) -> impl Iterator<Item = (&Name, &Custody)> {
    let steps = policy.jobs().iter().flat_map(|job| &job.steps);
    let outputs = steps.flat_map(|step| &step.outputs);
    outputs.filter_map(|output| Some((&output.name, output.custody()?)))
}

impl CustodyKey {
    /// Its release for so many runs.
    pub(crate) fn release(&self, runs: u32) -> Release {
        Release {
            key: DataKey {
                dataset: self.output.clone(),
                object: self.object,
                secret: self.key.clone(),
            },
            length: Some(self.length),
            runs,
        }
    }

    /// The bytes it is kept as: secret.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        secret_json(self)
    }

    /// Reads [`to_bytes`](Self::to_bytes) back.
    ///
    /// # Errors
    /// [`CustodyError::Stored`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CustodyError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
