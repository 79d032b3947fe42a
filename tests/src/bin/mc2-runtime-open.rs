//! The simulated runtime without what keeps its memory from its user's other processes: for the
//! test that looks for keys in it. NOT SECURE, and not for anything else.

#![forbid(unsafe_code)]

use std::{
    fs,
    io::{Read as _, Write as _},
    process::ExitCode,
};

use ed25519_dalek::SigningKey;
use mc2_attestation::{SimKey, sim};
use mc2_protocol::{Digest, documents::record::CompilationCache, policy::Tee};
use mc2_runtime::{
    Attested, Attester, AttesterError, RuntimeConfig,
    start::{self, Arguments, component_stores},
};

struct Open {
    key: SigningKey,
    measurement: Digest,
}

impl Attester for Open {
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

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => start::fail(error.as_ref()),
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    // The host gives it its simulators' key, as the real one.
    let rest = std::env::args_os().skip(1);
    let arguments = Arguments::parse(rest.filter(|one| one != "--key-on-stdin"))?;
    let mut seed = [0; 32];
    std::io::stdin().read_exact(&mut seed)?;
    let key = SigningKey::from_bytes(&seed);
    println!("MC2-SIM-KEY {}", SimKey::from(key.verifying_key()));
    std::io::stdout().flush()?;
    let (components, metered) = component_stores(arguments.profile, None, None)?;
    let config = RuntimeConfig {
        name: "mc2-runtime-sim",
        host: arguments.host,
        policy_digest: arguments.policy_digest,
        compilation_cache: CompilationCache::Memory,
        components,
        metered,
        attester: Box::new(Open {
            key,
            measurement: Digest::of(&fs::read("/proc/self/exe")?),
        }),
    };
    start::serve(config)?;
    Ok(())
}
