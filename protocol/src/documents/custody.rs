//! What a receipt says of an output in custody: its key is somebody's to release to later jobs of
//! the policy, and nobody's to open it with (protocol.md §12).

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Card, Digest, Identity, Name, SecretKey,
    crypto::{hpke::HpkeError, label},
    documents::sealed_to::{SealTo, SealedTo},
};

/// One output that was left in custody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptCustody {
    /// Its name in the policy.
    pub name: Name,
    /// The step it comes from, from 0.
    pub step: u32,
    /// Its object id.
    pub object: Digest,
    /// For how many runs the policy lets its key be released in all.
    pub runs: u32,
    /// Its [`CustodySecret`], for who keeps it.
    pub holder: SealedTo,
}

/// What only the custodian knows of an output: 40 bytes, whatever the output is.
///
/// ```
/// use mc2_protocol::{
///     Digest, Identity, SecretKey,
///     documents::custody::{CustodyOf, CustodySecret},
/// };
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let holder = Identity::generate("bank-a".parse()?, &mut rng);
/// let of = CustodyOf {
///     session: &Digest::of(b"the session record"),
///     job: &Digest::of(b"the job"),
///     output: &"model".parse()?,
///     runs: 100,
/// };
/// let secret = CustodySecret {
///     key: SecretKey::generate(&mut rng),
///     length: 10,
/// };
/// let sealed = secret.seal(of, holder.card(), &mut rng);
/// assert_eq!(CustodySecret::open(of, &sealed, &holder)?.length, 10);
/// assert!(CustodySecret::open(CustodyOf { runs: 1000, ..of }, &sealed, &holder).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CustodySecret {
    /// Its data key.
    pub key: SecretKey,
    /// Its plaintext length in bytes before padding; of a folder with its table of paths.
    pub length: u64,
}

/// Which output a secret is of.
#[derive(Clone, Copy, Debug)]
pub struct CustodyOf<'a> {
    /// The session digest.
    pub session: &'a Digest,
    /// The job digest.
    pub job: &'a Digest,
    /// The output's name in the policy.
    pub output: &'a Name,
    /// For how many runs it may be released.
    pub runs: u32,
}

impl CustodySecret {
    const LEN: usize = 40;

    /// Seals it to who keeps it.
    pub fn seal(&self, of: CustodyOf<'_>, to: &Card, by: &mut impl SealTo) -> SealedTo {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        bytes[..32].copy_from_slice(self.key.expose());
        bytes[32..].copy_from_slice(&self.length.to_be_bytes());
        SealedTo::seal(&of.info(to.digest()), to, bytes.as_slice(), by)
    }

    /// Opens it as the one who keeps it.
    ///
    /// # Errors
    /// [`HpkeError`] when it was sealed to another card, or of another session, job, output or count.
    pub fn open(of: CustodyOf<'_>, sealed: &SealedTo, with: &Identity) -> Result<Self, HpkeError> {
        let bytes = sealed.open(&of.info(with.card().digest()), with)?;
        let bytes: &[u8; Self::LEN] = bytes.as_slice().try_into().map_err(|_| HpkeError::Open)?;
        let (key, rest) = bytes.split_first_chunk::<32>().ok_or(HpkeError::Open)?;
        let length = rest.first_chunk().ok_or(HpkeError::Open)?;
        Ok(Self {
            key: SecretKey::filled(|into| into.copy_from_slice(key)),
            length: u64::from_be_bytes(*length),
        })
    }
}

impl CustodyOf<'_> {
    fn info(&self, card: &Digest) -> Vec<u8> {
        let runs = self.runs.to_be_bytes();
        let parts: [&[u8]; 5] = [
            self.session.as_bytes(),
            self.job.as_bytes(),
            self.output.as_str().as_bytes(),
            &runs,
            card.as_bytes(),
        ];
        label::context(label::CUSTODY, &parts)
    }
}
