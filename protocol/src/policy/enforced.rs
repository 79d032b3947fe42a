//! What this release reads in a policy and would not enforce.

use super::{Policy, PolicyError, Tee};

/// The kinds of TEE whose evidence this release makes and verifies.
const ENFORCED_TEES: [Tee; 1] = [Tee::Sim];

impl Policy {
    /// Refuses what this release would read and not enforce. A session opens only after it.
    ///
    /// # Errors
    /// [`PolicyError::NotEnforcedYet`], the first of [`unenforced`](Self::unenforced).
    pub fn require_enforced(&self) -> Result<(), PolicyError> {
        match self.unenforced().into_iter().next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Everything in this policy that this release does not enforce.
    pub fn unenforced(&self) -> Vec<PolicyError> {
        let mut found = Vec::new();
        let mut refuse = |field, place: String, instead| {
            found.push(PolicyError::NotEnforcedYet {
                field,
                place,
                instead,
            });
        };
        for tee in &self.enclave.tee {
            if !ENFORCED_TEES.contains(tee) {
                let instead = "write tee = [\"sim\"] to try the policy in the simulator, which \
                               protects nothing";
                refuse(tee_field(*tee), "enclave.tee".to_owned(), instead);
            }
        }
        found
    }
}

const fn tee_field(tee: Tee) -> &'static str {
    match tee {
        Tee::Sim => "tee \"sim\"",
        Tee::Sgx => "tee \"sgx\"",
        Tee::Tdx => "tee \"tdx\"",
        Tee::SevSnp => "tee \"sev-snp\"",
        Tee::Nitro => "tee \"nitro\"",
        Tee::AzureVtpm => "tee \"azure-vtpm\"",
    }
}
