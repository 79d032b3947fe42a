//! Why a job failed, for people: what a reason means where the policy's outputs come into it.

use mc2_protocol::{
    Digest, Identity, Name,
    documents::{failure::FailureDetail, receipt::Receipt},
};

use crate::terminal::printable;

/// What a failed job tells its submitter alone; empty for everybody else.
pub fn detail(receipt: &Receipt, session: &Digest, readers: &[Identity]) -> FailureDetail {
    let opened = receipt.failure.as_ref().and_then(|sealed| {
        let own = |reader: &&Identity| *reader.card().digest() == sealed.card;
        let reader = readers.iter().find(own)?;
        FailureDetail::open(session, &receipt.job, sealed, reader).ok()
    });
    opened.unwrap_or_default()
}

/// A reason for people, the output that was left out or left twice named where it is known, and the
/// guest's own message behind it where there is one.
pub fn told_of(reason: &str, output: Option<&Name>, error: &str) -> String {
    let of_outputs = of_outputs(reason, output);
    let told = match reason {
        _ if of_outputs.is_some() => of_outputs.as_deref().unwrap_or_default(),
        "exit" => "the workload failed",
        "trap" => {
            "the workload trapped: it did something WebAssembly does not allow, such as a panic or \
             an access outside its memory"
        }
        "memory-limit" => {
            "the workload needed more memory than allowed; give it more with --memory"
        }
        "time-limit" => "the workload ran longer than allowed; give it longer with --timeout",
        "output-limit" => "the workload wrote more output than allowed",
        "scratch-limit" => "the workload needed more scratch space under /tmp than allowed",
        "handle-limit" => "the workload held more files or other resources than allowed",
        "fuel-limit" => "the workload used up its fuel",
        "stack-overflow" => "the workload recursed too deeply",
        "input-unavailable" => "an input could not be fetched from the host",
        "input-corrupt" => "an input is not what was sealed: the host altered it",
        "spill-corrupt" => "the host altered spilled scratch pages",
        "spill-unavailable" => "the host did not store spilled scratch pages",
        "deadlock" => {
            "the workload's instances all waited for each other; see that each message has its \
             reader, and that what is sent before reading is no more than a stream holds"
        }
        "cancelled" => "the run was cancelled",
        other => return format!("the workload failed: {}", printable(other)),
    };
    if error.is_empty() {
        told.to_owned()
    } else {
        format!("{told}: {error}")
    }
}

/// What was wrong with the outputs and what to do, where that is the reason.
pub fn of_outputs(reason: &str, output: Option<&Name>) -> Option<String> {
    let path = output.map_or_else(|| "an output".to_owned(), |name| format!("/out/{name}"));
    Some(match reason {
        "missing-output" => format!(
            "the workload ended well and left no {}, which the policy declares: let it write {}, \
             or leave it out of the policy (of the command line: --out NAME=PATH)",
            output.map_or_else(|| "output of some name".to_owned(), |_| path.clone()),
            output.map_or("it", |_| "that file")
        ),
        "repeated-output" => format!(
            "more than one instance of the workload wrote {path}: let one of them write it, or \
             give each its own file in a folder (--out NAME/=FOLDER)"
        ),
        "undeclared-output" => {
            "the workload wrote a file under /out that is not declared: declare it with \
             --out NAME=PATH; those who get the output `error` are told its name"
                .to_owned()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_named_where_it_is_known() {
        let name: Name = "model".parse().unwrap();
        for reason in ["missing-output", "repeated-output"] {
            let told = of_outputs(reason, Some(&name)).unwrap();
            assert!(told.contains("/out/model"), "{told}");
            assert!(of_outputs(reason, None).is_some());
        }
        assert!(of_outputs("undeclared-output", None).is_some());
        assert_eq!(of_outputs("trap", None), None);
    }
}
