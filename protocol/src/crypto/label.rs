//! The labels that keep every use of a key or a hash apart from every other (protocol.md §2).

/// Associated data of a sealed file.
pub const ASSOCIATED_DATA: &str = "mc2/v1/associated-data";
/// Associated data of a folder's sealed table of paths.
pub const PATH_TABLE: &str = "mc2/v1/path-table";
/// Associated data of a folder packed into one sealed stream.
pub const PACKED_FOLDER: &str = "mc2/v1/packed-folder";
/// HKDF info of the commitment to a data key.
pub const KEY_COMMITMENT: &str = "mc2/v1/key-commitment";
/// HPKE info of a data key wrapped to its owner.
pub const OWNER_KEY: &str = "mc2/v1/owner-key";
/// Prefix of what a card's own signature covers.
pub const CARD: &str = "mc2/v1/card";
/// Prefix of what an owner signs of its broker's card.
pub const BROKER: &str = "mc2/v1/broker";
/// Prefix of what an old card's key signs to name the new one.
pub const REPLACEMENT: &str = "mc2/v1/replacement";
/// Prefix of what the opener of a session signs.
pub const OPENING: &str = "mc2/v1/opening";
/// Prefix of what the report data hashes.
pub const REPORT_DATA: &str = "mc2/v1/report-data";
/// Prefix of what is hashed of an event that a runtime measures into a register.
pub const MEASURED_EVENT: &str = "mc2/v1/measured-event";
/// HPKE info of a message to an enclave.
pub const MESSAGE: &str = "mc2/v1/message";
/// HPKE exporter context of the key that seals the answer to a message.
pub const ANSWER: &str = "mc2/v1/answer";
/// HPKE info of an output's key, length and digest sealed to a recipient.
pub const OUTPUT: &str = "mc2/v1/output";
/// HPKE info of an output's key and length sealed to who keeps it in custody.
pub const CUSTODY: &str = "mc2/v1/custody";
/// HPKE info of what a step used, sealed to whom the policy names.
pub const USAGE: &str = "mc2/v1/usage";
/// HPKE info of what the host saw of a step, sealed to an owner of its data.
pub const OBSERVED: &str = "mc2/v1/observed";
/// HPKE info of what a failed job tells its submitter.
pub const FAILURE: &str = "mc2/v1/failure";
/// HPKE info of a receipt's content key wrapped to a reader.
pub const RECEIPT_KEY: &str = "mc2/v1/receipt-key";
/// HPKE info of a progress event.
pub const EVENT: &str = "mc2/v1/event";
/// HPKE info of a job proposed to one who is to approve it.
pub const PROPOSAL: &str = "mc2/v1/proposal";
/// Prefix of what the proposer of a job signs.
pub const PROPOSED_JOB: &str = "mc2/v1/proposed-job";
/// Associated data of an entry of the compilation cache.
pub const COMPILATION_CACHE: &str = "mc2/v1/compilation-cache";
/// Associated data of a scratch page kept on the host.
pub const SPILLED_PAGE: &str = "mc2/v1/spilled-page";
/// Associated data of a secret kept wrapped on its owner's disk.
pub const KEPT_SECRET: &str = "mc2/v1/kept-secret";
/// Prefix of what an owner signs of a version of a dataset.
pub const DATASET_VERSION: &str = "mc2/v1/dataset-version";
/// Prefix of what the measurement of an Azure vTPM hashes.
pub const AZURE_VTPM: &str = "mc2/v1/azure-vtpm";
/// HPKE info of a data key that an owner gives a broker.
pub const HANDED_KEY: &str = "mc2/v1/handed-key";

/// Every label, for the test that none is a prefix of another.
pub const ALL: &[&str] = &[
    ASSOCIATED_DATA,
    PATH_TABLE,
    PACKED_FOLDER,
    KEY_COMMITMENT,
    OWNER_KEY,
    CARD,
    REPLACEMENT,
    BROKER,
    OPENING,
    REPORT_DATA,
    MEASURED_EVENT,
    MESSAGE,
    ANSWER,
    OUTPUT,
    CUSTODY,
    USAGE,
    OBSERVED,
    FAILURE,
    RECEIPT_KEY,
    EVENT,
    PROPOSAL,
    PROPOSED_JOB,
    COMPILATION_CACHE,
    SPILLED_PAGE,
    KEPT_SECRET,
    DATASET_VERSION,
    AZURE_VTPM,
    HANDED_KEY,
];

/// `label ‖ lp(part) ‖ …`, where `lp(x)` is the length of `x` as a big-endian `u64`, then `x`.
///
/// Two different lists of parts never give the same bytes.
///
/// ```
/// use mc2_protocol::crypto::label::context;
///
/// // Lengths are part of it: no two lists of parts give the same bytes.
/// assert_ne!(context("label", &[b"ab", b"c"]), context("label", &[b"a", b"bc"]));
/// ```
pub fn context(label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = label.as_bytes().to_vec();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_is_a_prefix_of_another() {
        for (i, a) in ALL.iter().enumerate() {
            for (j, b) in ALL.iter().enumerate() {
                assert!(i == j || !b.starts_with(a), "{a} is a prefix of {b}");
            }
        }
    }

    /// The sandbox knows nothing of this crate, and writes its two labels itself.
    #[test]
    fn every_label_in_the_sources_stands_in_the_table() {
        let mut found = std::collections::BTreeSet::new();
        for krate in std::fs::read_dir("..").unwrap() {
            let sources = krate.unwrap().path().join("src");
            if sources.is_dir() {
                collect(&sources, &mut found);
            }
        }
        let table: std::collections::BTreeSet<String> =
            ALL.iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(found, table);
    }

    fn collect(folder: &std::path::Path, found: &mut std::collections::BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                // In two pieces, so that this line has no label.
                let start = ["mc2", "/v1/"].concat();
                let literals = text.split('"');
                found.extend(
                    literals
                        .filter(|text| text.starts_with(&start))
                        .map(str::to_owned),
                );
            }
        }
    }

    #[test]
    fn moving_a_byte_between_parts_changes_the_context() {
        assert_ne!(context(CARD, &[b"ab", b"c"]), context(CARD, &[b"a", b"bc"]));
    }
}
