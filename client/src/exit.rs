//! Exit codes: listed once, here, and shown by `--help`.

use std::process::ExitCode;

use mc2_protocol::documents::receipt::Status;

/// How a command ended, as its exit code.
///
/// ```
/// use mc2_client::exit::Exit;
///
/// assert_eq!(Exit::Success.code(), 0);
/// assert!(Exit::help().contains(Exit::BadInput.meaning()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Success,
    /// The guest ran and said that it failed; or a job did whose result is opened or verified.
    GuestFailed,
    /// Arguments or files that cannot be used.
    BadInput,
    /// The workload is no component, or imports what the sandbox does not have.
    BadWorkload,
    /// The policy is not valid, or does not allow this run.
    PolicyRefused,
    /// The evidence did not pass.
    AttestationRefused,
    /// No host at the address.
    HostUnreachable,
    /// The runtime did not start, or went away.
    RuntimeFailed,
    /// The guest needed more memory than allowed.
    MemoryLimit,
    /// The guest ran longer than allowed.
    TimeLimit,
    /// The guest wrote more than allowed.
    OutputLimit,
    /// Another limit: scratch, files, stack, fuel.
    OtherLimit,
    /// The guest trapped.
    Trap,
    /// A result, receipt or answer was altered or is not the one asked for.
    ResultTampered,
    /// Sealed data was altered, cut off, or the key is another's.
    DataTampered,
    /// A result could not be written.
    CannotWrite,
    /// The state folder cannot be used, or its ledger is broken.
    StateBroken,
    /// The host or the enclave refused, or a fault of this program.
    Failed,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

const TABLE: [(Exit, u8, &str); 20] = [
    (Exit::Success, 0, "success"),
    (
        Exit::GuestFailed,
        1,
        "the workload ran and failed; its own message is shown",
    ),
    (Exit::BadInput, 64, "bad arguments or input files"),
    (
        Exit::BadWorkload,
        65,
        "not a component, or one that imports what the sandbox does not have",
    ),
    (
        Exit::PolicyRefused,
        66,
        "the policy is not valid or does not allow this",
    ),
    (
        Exit::AttestationRefused,
        67,
        "the attestation evidence was refused",
    ),
    (Exit::HostUnreachable, 68, "the host cannot be reached"),
    (
        Exit::RuntimeFailed,
        69,
        "the runtime did not start, or went away",
    ),
    (
        Exit::MemoryLimit,
        70,
        "the workload needed more memory than allowed",
    ),
    (Exit::TimeLimit, 71, "the workload ran longer than allowed"),
    (
        Exit::OutputLimit,
        72,
        "the workload wrote more than allowed",
    ),
    (
        Exit::OtherLimit,
        73,
        "the workload exceeded another limit: scratch, files, stack, fuel",
    ),
    (Exit::Trap, 74, "the workload trapped"),
    (
        Exit::ResultTampered,
        75,
        "a result, receipt or answer is not what it must be",
    ),
    (
        Exit::DataTampered,
        76,
        "sealed data was altered or cut off, or the key is another's",
    ),
    (Exit::CannotWrite, 77, "a result could not be written"),
    (
        Exit::StateBroken,
        78,
        "the state folder cannot be used, or its ledger is broken",
    ),
    (
        Exit::Failed,
        79,
        "anything else: the host or the enclave refused",
    ),
    (Exit::Interrupted, 130, "interrupted by Ctrl-C"),
    (Exit::Terminated, 143, "terminated by SIGTERM"),
];

impl Exit {
    /// The code.
    pub fn code(self) -> u8 {
        self.entry().1
    }

    /// What it means.
    pub fn meaning(self) -> &'static str {
        self.entry().2
    }

    /// How a command ends that shows a job that ended so.
    pub fn of_job(status: &Status) -> Self {
        match status {
            Status::Succeeded => Self::Success,
            Status::Failed { reason, .. } => Self::of_reason(reason),
        }
    }

    /// How a command ends whose workload failed for this reason.
    pub fn of_reason(reason: &str) -> Self {
        match reason {
            "trap" => Self::Trap,
            "memory-limit" => Self::MemoryLimit,
            "time-limit" => Self::TimeLimit,
            "output-limit" => Self::OutputLimit,
            "scratch-limit" | "handle-limit" | "fuel-limit" | "stack-overflow" => Self::OtherLimit,
            "input-unavailable" | "input-corrupt" => Self::DataTampered,
            "spill-unavailable" | "spill-corrupt" | "internal" => Self::RuntimeFailed,
            _ => Self::GuestFailed,
        }
    }

    /// The whole list, for `--help`.
    pub fn help() -> String {
        let mut text = String::from("Exit codes:\n");
        for (_, code, meaning) in TABLE {
            text.push_str(&format!("  {code:>3}  {meaning}\n"));
        }
        text
    }

    fn entry(self) -> &'static (Self, u8, &'static str) {
        TABLE
            .iter()
            .find(|(exit, ..)| *exit == self)
            // The test below looks every one of them up.
            .unwrap_or(&TABLE[17])
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For people who have no terminal at hand; a script relies on it, too.
    #[test]
    fn the_codes_are_those_that_running_md_states() {
        let page = include_str!("../../docs/running.md");
        let (_, page) = page.split_once("## Exit codes").unwrap();
        let (page, _) = page.split_once("\n## ").unwrap();
        let row = |line: &str| {
            let (code, meaning) = line.strip_prefix("| ")?.split_once(" | ")?;
            Some((code.parse::<u8>().ok()?, meaning.to_owned()))
        };
        let rows: Vec<(u8, String)> = page.lines().filter_map(row).collect();
        assert_eq!(rows.len(), TABLE.len());
        for ((stated, meaning), (_, code, known)) in rows.iter().zip(TABLE) {
            assert_eq!(*stated, code);
            assert!(meaning.starts_with(known), "{code}: {meaning}");
        }
    }

    #[test]
    fn codes_are_unique_and_those_of_errors_are_64_to_79() {
        let mut codes: Vec<u8> = TABLE.iter().map(|(_, code, _)| *code).collect();
        assert!(codes.is_sorted());
        codes.dedup();
        assert_eq!(codes.len(), TABLE.len());
        let errors = &codes[2..codes.len() - 2];
        assert!(errors.iter().all(|code| (64..80).contains(code)));
        for (exit, code, meaning) in TABLE {
            assert_eq!((exit.code(), exit.meaning()), (code, meaning));
        }
        assert_eq!(Exit::Failed.code(), 79);
    }
}
