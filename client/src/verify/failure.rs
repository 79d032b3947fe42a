//! Why a job failed, for people: what a reason means where the policy's outputs come into it.

use mc2_protocol::{
    Digest, Identity, Name,
    documents::{failure::FailureDetail, receipt::Receipt},
};

/// What a failed job tells its submitter alone; empty for everybody else.
pub fn detail(receipt: &Receipt, session: &Digest, readers: &[Identity]) -> FailureDetail {
    let opened = receipt.failure.as_ref().and_then(|sealed| {
        let own = |reader: &&Identity| *reader.card().digest() == sealed.card;
        let reader = readers.iter().find(own)?;
        FailureDetail::open(session, &receipt.job, sealed, reader).ok()
    });
    opened.unwrap_or_default()
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
