//! The process was not started for another policy: by its record, and by what the hardware says of
//! how it was started.

use mc2_protocol::{
    Digest,
    evidence::{EventLog, Register384},
};

use super::words::OTHER_POLICY;
use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
    claims::Hardware,
    tee::Tee,
};

pub(super) struct Tenant;

impl Rule for Tenant {
    fn id(&self) -> &'static str {
        "tenant"
    }

    fn what(&self) -> &'static str {
        "tenant"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let policy = Digest::of(facts.input.policy_bytes);
        let fixed = facts.record.as_ref()?.tenant;
        let found = match fixed {
            Some(tenant) => format!("fixed at launch: {tenant}"),
            None => "not fixed at launch".to_owned(),
        };
        if fixed.is_some_and(|tenant| tenant != policy) {
            return Some(Finding::failed(policy, found, OTHER_POLICY));
        }
        let hardware = facts.claims.as_ref().and_then(|it| it.hardware.as_ref());
        let launch = facts.tee.and_then(|tee| Launch::of(tee, &policy));
        let objection = hardware
            .zip(launch)
            .and_then(|(hardware, launch)| launch.objection(hardware, fixed.is_some()));
        Some(objection.unwrap_or_else(|| Finding::passed(found)))
    }
}

/// Which register says what an enclave was started for, and what it holds where that is the policy.
struct Launch {
    register: &'static str,
    value: Vec<u8>,
    by: By,
}

/// Who fills the register.
#[derive(PartialEq, Eq)]
enum By {
    /// The runtime, where it is started for a policy; what else there is in it is not about that.
    Runtime,
    /// Whoever launches the guest, or nobody.
    Launcher,
}

impl Launch {
    fn of(tee: Tee, policy: &Digest) -> Option<Self> {
        let (register, value, by) = match tee {
            Tee::Tdx => {
                let register = EventLog::of_tenant(policy).register();
                ("RTMR3", register.0.to_vec(), By::Runtime)
            }
            Tee::Nitro => {
                let mut register = Register384::default();
                register.extend(policy.as_bytes());
                ("PCR16", register.0.to_vec(), By::Runtime)
            }
            Tee::AzureVtpm => {
                let register = Digest::of(&[[0; 32], *policy.as_bytes()].concat());
                ("PCR14", register.as_bytes().to_vec(), By::Runtime)
            }
            Tee::SevSnp => ("HOST_DATA", policy.as_bytes().to_vec(), By::Launcher),
            Tee::Sgx | Tee::Sim => return None,
        };
        Some(Self {
            register,
            value,
            by,
        })
    }

    /// What the hardware says against it: nothing of a register that is `demanded`, or anything but
    /// this policy in one that its launcher fills.
    fn objection(&self, hardware: &Hardware, demanded: bool) -> Option<Finding> {
        let mut registers = hardware.registers.iter();
        let held = registers.find(|register| register.name == self.register);
        let held: &[u8] = held.map_or(&[], |register| register.value.as_slice());
        let good = held == self.value
            || match self.by {
                By::Runtime => !demanded,
                By::Launcher => held.iter().all(|&byte| byte == 0),
            };
        if good {
            return None;
        }
        let register = self.register;
        let found = match held {
            [] => format!("no {register}"),
            held => format!("{register} {}", hex::encode(held)),
        };
        let expected = format!("{register} {}", hex::encode(&self.value));
        Some(Finding::failed(expected, found, OTHER_POLICY))
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::{
        Digest,
        documents::record::SessionRecord,
        evidence::{EventLog, Register384},
        policy::TcbStatus,
    };

    use super::Tenant;
    use crate::{
        Measurement, Outcome,
        appraisal::tests::{hardware, outcome_of, refused, with_facts},
        claims::{Claims, Register, ReportData, Tcb},
        tee::Tee,
        test_util::factory::Session,
    };

    /// Row 7: keys released to the wrong workload.
    #[test]
    fn a_process_started_for_another_policy_is_refused() {
        let session =
            Session::simulated().with_record(|record| record.tenant = Some(Digest::of(b"other")));
        assert_eq!(refused(&session).what, "tenant");
        let policy = Digest::of(&session.policy_bytes);
        let session = Session::simulated().with_record(|record| record.tenant = Some(policy));
        assert!(session.appraise().is_accepted());
    }

    /// How the check comes out in an enclave whose registers these are.
    fn on(tee: Tee, fixed: bool, registers: &[(&str, Vec<u8>)]) -> Outcome {
        let session = Session::simulated();
        let mut record: SessionRecord = session.record.clone();
        record.tenant = fixed.then(|| Digest::of(&session.policy_bytes));
        let mut found = hardware(Vec::new(), Tcb::Known(TcbStatus::UpToDate));
        found.registers = registers
            .iter()
            .map(|(name, value)| Register {
                name: (*name).to_owned(),
                value: value.clone(),
            })
            .collect();
        with_facts(&session, |facts| {
            facts.tee = Some(tee);
            facts.record = Some(record);
            facts.claims = Some(Claims {
                report_data: ReportData::Bytes(vec![0; 64]),
                measurement: Measurement::from_bytes(&[1; 48]).unwrap(),
                hardware: Some(found),
            });
            outcome_of(&Tenant, facts)
        })
    }

    /// The register of each kind after a runtime was started for `policy`.
    fn started_for(policy: &Digest) -> [(Tee, &'static str, Vec<u8>); 3] {
        let mut nitro = Register384::default();
        nitro.extend(policy.as_bytes());
        let vtpm = Digest::of(&[&[0; 32][..], policy.as_bytes()].concat());
        let tdx = EventLog::of_tenant(policy).register();
        [
            (Tee::Tdx, "RTMR3", tdx.0.to_vec()),
            (Tee::Nitro, "PCR16", nitro.0.to_vec()),
            (Tee::AzureVtpm, "PCR14", vtpm.as_bytes().to_vec()),
        ]
    }

    /// Row 7: a record is the runtime's word alone; the register is the hardware's.
    #[test]
    fn a_record_that_fixes_the_tenant_passes_only_with_the_register_that_says_so() {
        let policy = Digest::of(&Session::simulated().policy_bytes);
        let others = started_for(&Digest::of(b"another policy"));
        for ((tee, name, own), (.., other)) in started_for(&policy).into_iter().zip(others) {
            let zero = vec![0; own.len()];
            assert_eq!(on(tee, true, &[(name, own)]), Outcome::Passed, "{tee}");
            for foreign in [other, zero] {
                let registers = [(name, foreign)];
                assert_eq!(on(tee, true, &registers), Outcome::Failed, "{tee}");
                // Other programs use these registers, too.
                assert_eq!(on(tee, false, &registers), Outcome::Passed, "{tee}");
            }
            assert_eq!(on(tee, true, &[]), Outcome::Failed, "{tee}");
            assert_eq!(on(tee, false, &[]), Outcome::Passed, "{tee}");
        }
    }

    /// Row 7: whatever its record says.
    #[test]
    fn a_guest_launched_for_another_policy_is_refused() {
        let policy = Digest::of(&Session::simulated().policy_bytes);
        for fixed in [true, false] {
            let launched = |host_data: [u8; 32]| {
                let registers = [("HOST_DATA", host_data.to_vec())];
                on(Tee::SevSnp, fixed, &registers)
            };
            assert_eq!(launched(*policy.as_bytes()), Outcome::Passed);
            assert_eq!(launched([0; 32]), Outcome::Passed);
            assert_eq!(launched([9; 32]), Outcome::Failed);
        }
    }
}
