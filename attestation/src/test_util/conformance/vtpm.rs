//! Azure's vTPM.

use super::{ASKED, Sample};
use crate::{Tee, test_util::forger::Vtpm};

type Change = fn(&mut Vtpm);

pub(super) fn samples() -> Vec<Sample> {
    let changes: [(&str, Option<&str>, &str, Change); 13] = [
        ("vtpm-snp-good", None, "a quote over an SNP report", |_| ()),
        (
            "vtpm-23-pcrs",
            Some("vtpm-evidence"),
            "23 PCRs are stated, where there are 24",
            |vtpm| vtpm.pcrs.truncate(23),
        ),
        (
            "vtpm-over-debug",
            Some("snp-debug"),
            "the report beneath is of a guest that may be debugged",
            |vtpm| vtpm.snp.policy |= 1 << 19,
        ),
        (
            "vtpm-over-vmpl-2",
            Some("snp-vmpl"),
            "the report beneath was asked for at VMPL 2",
            |vtpm| vtpm.snp.vmpl = 2,
        ),
        (
            "vtpm-over-out-of-date",
            Some("tcb"),
            "the report beneath is of old firmware",
            |vtpm| vtpm.snp.launch_tcb[6] = 0x1c,
        ),
        (
            "vtpm-key-not-committed",
            Some("vtpm-key"),
            "the report's data has something behind the digest of the paravisor's statement",
            |vtpm| vtpm.last_byte = 1,
        ),
        (
            "vtpm-no-key",
            Some("vtpm-key"),
            "the paravisor's statement names no key that signs quotes",
            |vtpm| vtpm.keys = vec!["HCLEkPub"],
        ),
        ("vtpm-two-keys", Some("vtpm-key"), "it names two", |vtpm| {
            vtpm.keys = vec!["HCLAkPub"; 2]
        }),
        (
            "vtpm-other-key",
            Some("vtpm-quote"),
            "another key signed the quote",
            |vtpm| vtpm.other_key = true,
        ),
        (
            "vtpm-no-tpm",
            Some("vtpm-pcrs"),
            "what was signed is not of a TPM's own making",
            |vtpm| vtpm.magic = 0,
        ),
        (
            "vtpm-no-quote",
            Some("vtpm-pcrs"),
            "what was signed is no quote",
            |vtpm| vtpm.kind = 0x8017,
        ),
        (
            "vtpm-fewer-pcrs",
            Some("vtpm-pcrs"),
            "PCR0 was not quoted",
            |vtpm| vtpm.selection.1[0] = 0xfe,
        ),
        (
            "vtpm-other-pcr",
            Some("vtpm-pcrs"),
            "PCR23 is not what was quoted",
            |vtpm| {
                let mut pcrs = vtpm.pcrs.clone();
                pcrs[23][31] ^= 1;
                vtpm.claimed_pcrs = Some(pcrs);
            },
        ),
    ];
    changes
        .map(|(name, refused_by, what, change)| {
            let mut vtpm = Vtpm::genuine();
            change(&mut vtpm);
            Sample {
                name,
                tee: Tee::AzureVtpm,
                forged: vtpm.sign(&ASKED),
                refused_by,
                what,
            }
        })
        .to_vec()
}
