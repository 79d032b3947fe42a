//! AWS Nitro Enclaves: the Nitro Secure Module, `/dev/nsm`, which answers requests in CBOR.
//!
//! Where the runtime was started for one policy, PCR16 is extended by the policy's digest and locked,
//! so that nothing in this enclave can change it any more.

mod cbor;

use std::{fs::OpenOptions, io, path::PathBuf};

use mc2_protocol::{Digest, evidence::Register384, policy::Tee};

use super::{
    contract::{Attested, Attester, AttesterError},
    devices::Devices,
    ioctl,
};
use cbor::Value;

/// The module's device.
pub(super) const DEVICE: &str = "dev/nsm";
/// `NSM_RESPONSE_MAX_SIZE`.
const MAX_ANSWER: usize = 0x3000;
/// The first register that the hypervisor leaves to the enclave.
const TENANT_PCR: u64 = 16;

/// A Nitro enclave.
pub(super) struct Nitro {
    device: PathBuf,
}

impl Nitro {
    pub(super) fn of(devices: &Devices) -> Self {
        Self {
            device: devices.path(DEVICE),
        }
    }

    /// Asks for something by name; what the answer of that name says.
    fn ask(&self, name: &'static str, request: &Value) -> Result<Value, NsmError> {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.device)?;
        let mut answer = vec![0; MAX_ANSWER];
        let length = ioctl::nsm(&device, &request.to_bytes(), &mut answer)?;
        let answer = Value::parse(&answer[..length]).ok_or(NsmError::NoCbor)?;
        // An answer that has nothing to say is its name alone.
        if answer == Value::Text(name.to_owned()) {
            return Ok(Value::Null);
        }
        match answer.clone().field(name) {
            Some(said) => Ok(said),
            None => Err(match answer.field("Error") {
                Some(Value::Text(code)) => NsmError::Refused { code },
                _ => NsmError::Other { expected: name },
            }),
        }
    }

    fn describe(&self) -> Result<(bool, Register384), NsmError> {
        const NAME: &str = "DescribePCR";
        let of = Value::map([("index", Value::Number(TENANT_PCR))]);
        let said = self.ask(NAME, &Value::map([(NAME, of)]))?;
        let locked = said.clone().field("lock");
        let held = said.field("data").and_then(Value::bytes);
        match (locked, held.map(<[u8; 48]>::try_from)) {
            (Some(Value::Bool(locked)), Some(Ok(held))) => Ok((locked, Register384(held))),
            _ => Err(NsmError::Other { expected: NAME }),
        }
    }

    /// Extends the register and locks it. A process that starts again for the same policy finds it
    /// done.
    fn lock_tenant(&self, policy: &Digest) -> Result<(), NsmError> {
        let mut wanted = Register384::default();
        wanted.extend(policy.as_bytes());
        let (locked, held) = self.describe()?;
        if held == Register384::default() && !locked {
            let of = Value::map([
                ("index", Value::Number(TENANT_PCR)),
                ("data", Value::Bytes(policy.as_bytes().to_vec())),
            ]);
            self.ask("ExtendPCR", &Value::map([("ExtendPCR", of)]))?;
        } else if held != wanted {
            return Err(NsmError::Taken);
        }
        if !locked {
            let of = Value::map([("index", Value::Number(TENANT_PCR))]);
            self.ask("LockPCR", &Value::map([("LockPCR", of)]))?;
        }
        match self.describe()? {
            (true, held) if held == wanted => Ok(()),
            _ => Err(NsmError::NotLocked),
        }
    }
}

impl Attester for Nitro {
    fn tee(&self) -> Tee {
        Tee::Nitro
    }

    fn evidence(&self, report_data: &[u8; 64]) -> Result<Attested, AttesterError> {
        const NAME: &str = "Attestation";
        let request = Value::map([(
            NAME,
            Value::map([
                ("user_data", Value::Bytes(report_data.to_vec())),
                ("nonce", Value::Null),
                ("public_key", Value::Null),
            ]),
        )]);
        let document = self.ask(NAME, &request).and_then(|said| {
            let document = said.field("document").and_then(Value::bytes);
            document.ok_or(NsmError::Other { expected: NAME })
        });
        match document {
            Ok(document) => Ok(Attested::new(Tee::Nitro, document)),
            Err(error) => Err(self.failed("asking for an attestation document", &error)),
        }
    }

    fn fix_tenant(&mut self, policy: &Digest) -> Result<(), AttesterError> {
        self.lock_tenant(policy).map_err(|error| {
            let doing = "extending PCR16 by the policy's digest and locking it";
            self.failed(doing, &error)
        })
    }
}

impl Nitro {
    fn failed(&self, doing: &str, error: &NsmError) -> AttesterError {
        let reason = format!("{}: {error}", self.device.display());
        AttesterError::new(Tee::Nitro, doing, reason)
    }
}

/// Why the module gave no answer that is one.
#[derive(Debug, thiserror::Error)]
enum NsmError {
    /// The device.
    #[error(transparent)]
    Device(#[from] io::Error),
    /// Not CBOR.
    #[error("its answer is no CBOR of the kinds expected")]
    NoCbor,
    /// It refuses.
    #[error("it refused: {code:?}")]
    Refused {
        /// Its word for why.
        code: String,
    },
    /// Something else.
    #[error("its answer is not that to {expected}")]
    Other {
        /// What was asked for.
        expected: &'static str,
    },
    /// The register was extended before.
    #[error(
        "PCR16 holds something else already: this enclave was started for another policy, or \
         something else in its image extends that register"
    )]
    Taken,
    /// It did not do it.
    #[error("PCR16 is not what it was extended to, or not locked")]
    NotLocked,
}
