//! The simulated TEE: a process that signs for itself. NOT SECURE.

use std::{fmt, fs::File, io, io::Read as _};

use ed25519_dalek::SigningKey;
use mc2_attestation::{SimKey, Tee, sim};
use mc2_protocol::{Digest, SecretKey};
use mc2_runtime::{Attested, Attester, AttesterError};
use sha2::{Digest as _, Sha256};

const OWN_EXECUTABLE: &str = "/proc/self/exe";

/// Signs what it is asked to, with a key made at this start of the process, or of the host that
/// started it, and kept in no file.
pub(crate) struct SimAttester {
    key: SigningKey,
    measurement: Digest,
}

/// Why there is no simulator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SimAttesterError {
    /// No randomness for the key.
    #[error("the operating system gave no randomness for the simulator's key: {0}")]
    Randomness(getrandom::Error),
    /// The host gave no key.
    #[error("could not read 32 bytes from standard input to make the simulator's key of: {0}")]
    Given(io::Error),
    /// The executable could not be measured.
    #[error("could not read {OWN_EXECUTABLE} to measure it: {0}")]
    Measure(#[from] io::Error),
}

impl SimAttester {
    /// A simulator with a fresh key, its own executable measured.
    ///
    /// # Errors
    /// [`SimAttesterError`].
    pub(crate) fn new() -> Result<Self, SimAttesterError> {
        let mut random = Ok(());
        let seed = SecretKey::filled(|seed| random = getrandom::fill(seed));
        random.map_err(SimAttesterError::Randomness)?;
        Self::of(&seed)
    }

    /// A simulator with the key that 32 bytes make, all that `given` holds.
    ///
    /// # Errors
    /// [`SimAttesterError`].
    pub(crate) fn given(mut given: impl io::Read) -> Result<Self, SimAttesterError> {
        let mut read = Ok(());
        let seed = SecretKey::filled(|seed| read = given.read_exact(seed));
        read.map_err(SimAttesterError::Given)?;
        Self::of(&seed)
    }

    fn of(seed: &SecretKey) -> Result<Self, SimAttesterError> {
        Ok(Self {
            key: SigningKey::from_bytes(seed.expose()),
            measurement: measure(File::open(OWN_EXECUTABLE)?)?,
        })
    }

    /// The key that the client that started this process pins.
    pub(crate) fn public_key(&self) -> SimKey {
        self.key.verifying_key().into()
    }
}

impl Attester for SimAttester {
    fn tee(&self) -> Tee {
        Tee::Sim
    }

    fn evidence(&self, report_data: &[u8; 64]) -> Result<Attested, AttesterError> {
        Ok(Attested {
            evidence: sim::evidence(report_data, &self.measurement, &self.key),
            endorsements: Vec::new(),
        })
    }
}

impl fmt::Display for SimAttester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "NOT SECURE: simulated enclave, measurement {}, key {}",
            self.measurement,
            self.public_key()
        )
    }
}

/// SHA-256 of all of `file`.
fn measure(mut file: File) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(Digest::from_bytes(hash.finalize().into()));
        }
        hash.update(&buffer[..length]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_simulator_has_its_own_key_and_the_measurement_of_its_file() {
        let own = std::fs::read(OWN_EXECUTABLE).unwrap();
        let simulators: Vec<SimAttester> = (0..3).map(|_| SimAttester::new().unwrap()).collect();
        let keys: BTreeSet<String> = simulators
            .iter()
            .map(|simulator| simulator.public_key().to_string())
            .collect();
        assert_eq!(keys.len(), 3);
        for simulator in &simulators {
            assert_eq!(simulator.measurement, Digest::of(&own));
            assert!(simulator.to_string().starts_with("NOT SECURE"));
        }
    }

    #[test]
    fn simulators_given_the_same_bytes_sign_with_the_same_key() {
        let key = |seed: &[u8]| SimAttester::given(seed).map(|one| one.public_key());
        assert_eq!(key(&[1; 32]).unwrap(), key(&[1; 32]).unwrap());
        assert_ne!(key(&[1; 32]).unwrap(), key(&[2; 32]).unwrap());
        assert!(matches!(key(&[1; 31]), Err(SimAttesterError::Given(_))));
    }
}
