//! SEV-SNP.

use super::{ASKED, Sample};
use crate::{
    Tee, UnixSeconds,
    test_util::forger::{Forged, NOW, RevocationList, Snp, ark_serial, ask_serial},
};

type Change = fn(&mut Snp);
type Damage = fn(&mut Forged);
type Base = fn() -> Snp;

pub(super) fn samples() -> Vec<Sample> {
    let bases: [(&str, &str, Base); 6] = [
        (
            "snp-milan-good",
            "a Milan chip, report version 3",
            Snp::milan,
        ),
        (
            "snp-genoa-good",
            "a Genoa chip, report version 5",
            Snp::genoa,
        ),
        (
            "snp-turin-good",
            "a Turin chip, report version 5",
            Snp::turin,
        ),
        (
            "snp-milan-vlek-good",
            "a Milan chip under its operator's key",
            || Snp::milan().with_vlek("cloud.example"),
        ),
        (
            "snp-turin-vlek-good",
            "a Turin chip under its operator's key",
            || Snp::turin().with_vlek("cloud.example"),
        ),
        ("snp-version-4-good", "report version 4", || Snp {
            version: 4,
            ..Snp::genoa()
        }),
    ];
    let changes: [(&str, Option<&str>, &str, Change); 25] = [
        (
            "snp-chip-masked",
            None,
            "the report names no chip, which no policy can list then",
            |snp| snp.chip_id = [0; 64],
        ),
        (
            "snp-other-revoked",
            None,
            "the list revokes another authority",
            |snp| list(snp).revoked = vec![vec![9]],
        ),
        (
            "snp-version-1",
            Some("snp-report"),
            "report version 1",
            |snp| {
                snp.version = 1;
            },
        ),
        (
            "snp-version-6",
            Some("snp-report"),
            "report version 6",
            |snp| {
                snp.version = 6;
            },
        ),
        (
            "snp-certificate-expired",
            Some("snp-dates"),
            "the certificate is past its date",
            |snp| snp.holds.until = UnixSeconds(NOW.0 - 1),
        ),
        (
            "snp-list-missing",
            Some("snp-crl"),
            "there is no revocation list",
            |snp| snp.revocation_list = None,
        ),
        (
            "snp-list-without-end",
            Some("snp-crl"),
            "the list does not say when the next one comes",
            |snp| list(snp).until = None,
        ),
        (
            "snp-list-stale",
            Some("snp-crl"),
            "the next list is due",
            |snp| list(snp).until = Some(UnixSeconds(NOW.0 - 1)),
        ),
        (
            "snp-authority-revoked",
            Some("snp-crl"),
            "the list revokes the authority of chips' keys",
            |snp| list(snp).revoked = vec![ask_serial()],
        ),
        (
            "snp-root-revoked",
            Some("snp-crl"),
            "the list revokes the root",
            |snp| list(snp).revoked = vec![ark_serial()],
        ),
        (
            "snp-signer-of-another-kind",
            Some("snp-signer"),
            "the report says VLEK, the certificate VCEK",
            |snp| snp.key_info = 1 << 2,
        ),
        (
            "snp-unsigned",
            Some("snp-signer"),
            "the report says that no key signed it",
            |snp| snp.key_info = 7 << 2,
        ),
        (
            "snp-other-processor",
            Some("snp-product"),
            "the processor is of another line than the root",
            |snp| snp.cpu = [0x19, 0x01, 0x01],
        ),
        (
            "snp-other-product",
            Some("snp-product"),
            "the certificate is of another line than the root",
            |snp| snp.product_name = "Milan-B0".to_owned(),
        ),
        (
            "snp-certified-for-newer-firmware",
            Some("snp-tcb"),
            "the certificate is for other versions than the report states",
            |snp| snp.certified_tcb[3] += 1,
        ),
        (
            "snp-other-chip",
            Some("snp-chip"),
            "the certificate is of another chip",
            |snp| snp.chip_id[63] ^= 1,
        ),
        (
            "snp-no-measurement",
            Some("snp-measurement"),
            "the launch digest is zero",
            |snp| snp.measurement = [0; 48],
        ),
        (
            "snp-debug",
            Some("snp-debug"),
            "the guest's policy allows debugging",
            |snp| snp.policy |= 1 << 19,
        ),
        (
            "snp-migration-agent",
            Some("snp-migration"),
            "the guest's policy allows a migration agent",
            |snp| snp.policy |= 1 << 18,
        ),
        (
            "snp-vmpl-1",
            Some("snp-vmpl"),
            "asked for at VMPL 1",
            |snp| {
                snp.vmpl = 1;
            },
        ),
        (
            "snp-not-committed",
            Some("snp-firmware"),
            "what is reported was not committed",
            |snp| snp.committed_tcb[6] -= 1,
        ),
        (
            "snp-not-running",
            Some("snp-firmware"),
            "what was committed does not run",
            |snp| snp.current_tcb[7] -= 1,
        ),
        (
            "snp-out-of-date",
            Some("tcb"),
            "SNP firmware 26 on Genoa, of which bulletins are known",
            |snp| {
                for tcb in [
                    &mut snp.current_tcb,
                    &mut snp.committed_tcb,
                    &mut snp.reported_tcb,
                    &mut snp.launch_tcb,
                ] {
                    tcb[6] = 0x1a;
                }
                snp.certified_tcb[3] = 0x1a;
            },
        ),
        (
            "snp-started-out-of-date",
            Some("tcb"),
            "the guest was started under SNP firmware 26",
            |snp| snp.launch_tcb[6] = 0x1a,
        ),
        (
            "snp-aliases-not-looked-for",
            Some("tcb"),
            "the firmware did not look for memory that answers at two addresses",
            |snp| snp.platform_info &= !(1 << 5),
        ),
    ];
    let damaged: [(&str, Option<&str>, &str, Damage); 6] = [
        (
            "snp-cut",
            Some("snp-report"),
            "the report's last byte is missing",
            |forged| {
                forged.evidence.value.0.pop();
            },
        ),
        (
            "snp-beside-signature",
            Some("snp-report"),
            "something stands beside the signature",
            |forged| forged.evidence.value.0[1183] = 1,
        ),
        (
            "snp-no-certificate",
            Some("snp-certificate"),
            "the signer's certificate is missing",
            |forged| {
                forged.endorsements.remove(0);
            },
        ),
        (
            "snp-two-certificates",
            Some("snp-certificate"),
            "there are two of it",
            |forged| forged.endorsements.push(forged.endorsements[0].clone()),
        ),
        (
            "snp-certificate-altered",
            Some("snp-chain"),
            "one bit of the signature over the certificate is another",
            |forged| {
                let certificate = &mut forged.endorsements[0].value.0;
                let last = certificate.len() - 1;
                certificate[last] ^= 1;
            },
        ),
        (
            "snp-signature-altered",
            Some("snp-signature"),
            "one bit of the signature over the report is another",
            |forged| forged.evidence.value.0[0x2a0] ^= 1,
        ),
    ];
    let sample = |name, forged, refused_by, what| Sample {
        name,
        tee: Tee::SevSnp,
        forged,
        refused_by,
        what,
    };
    let good = bases.map(|(name, what, base)| sample(name, base().sign(&ASKED), None, what));
    let changed = changes.map(|(name, refused_by, what, change)| {
        let mut snp = Snp::genoa();
        change(&mut snp);
        sample(name, snp.sign(&ASKED), refused_by, what)
    });
    let damaged = damaged.map(|(name, refused_by, what, damage)| {
        let mut forged = Snp::genoa().sign(&ASKED);
        damage(&mut forged);
        sample(name, forged, refused_by, what)
    });
    good.into_iter().chain(changed).chain(damaged).collect()
}

fn list(snp: &mut Snp) -> &mut RevocationList {
    snp.revocation_list
        .as_mut()
        .unwrap_or_else(|| unreachable!("a good one has a list"))
}
