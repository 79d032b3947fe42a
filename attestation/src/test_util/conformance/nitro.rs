//! Nitro Enclaves.

use coset::{cbor::value::Value, iana};

use super::{ASKED, Sample};
use crate::{
    Tee, UnixSeconds,
    test_util::forger::{NOW, Nitro},
};

type Change = fn(&mut Nitro);

pub(super) fn samples() -> Vec<Sample> {
    let changes: [(&str, Option<&str>, &str, Change); 17] = [
        ("nitro-good", None, "a document as it should be", |_| ()),
        (
            "nitro-tenant",
            None,
            "PCR16 is locked: a claim like others",
            |nitro| nitro.pcrs.push((16, vec![9; 48])),
        ),
        (
            "nitro-deeper-chain",
            None,
            "one authority more, where the one above allows it",
            |nitro| {
                nitro.longer = true;
                nitro.path_len = 1;
            },
        ),
        (
            "nitro-qemu",
            Some("nitro-document"),
            "QEMU's: it says that nothing signs it, and the signature is zeros",
            |nitro| {
                nitro.algorithm = iana::Algorithm::Direct;
                nitro.unsigned = true;
            },
        ),
        (
            "nitro-other-algorithm",
            Some("nitro-document"),
            "it says ES256",
            |nitro| nitro.algorithm = iana::Algorithm::ES256,
        ),
        (
            "nitro-more-in-the-header",
            Some("nitro-document"),
            "the protected header names a key",
            |nitro| nitro.key_id = vec![1],
        ),
        (
            "nitro-other-digest",
            Some("nitro-document"),
            "it says SHA256",
            |nitro| nitro.digest = "SHA256".to_owned(),
        ),
        (
            "nitro-field-twice",
            Some("nitro-document"),
            "the field digest is there twice",
            |nitro| {
                nitro.extra = vec![("digest".to_owned(), Value::Text("SHA384".to_owned()))];
            },
        ),
        (
            "nitro-short-register",
            Some("nitro-document"),
            "PCR5 has 32 bytes",
            |nitro| nitro.pcrs[5].1 = vec![1; 32],
        ),
        (
            "nitro-signed-by-an-authority",
            Some("nitro-chain"),
            "the last certificate is an authority's",
            |nitro| nitro.signer_is_authority = true,
        ),
        (
            "nitro-chain-too-long",
            Some("nitro-chain"),
            "one authority more than the one above allows",
            |nitro| nitro.longer = true,
        ),
        (
            "nitro-certificate-expired",
            Some("nitro-dates"),
            "the signer's certificate is past its date",
            |nitro| nitro.holds.until = UnixSeconds(NOW.0 - 1),
        ),
        (
            "nitro-signature-zero",
            Some("nitro-signature"),
            "the signature is zeros",
            |nitro| nitro.unsigned = true,
        ),
        (
            "nitro-debug",
            Some("nitro-debug"),
            "debug mode: PCR0, PCR1 and PCR2 are zero",
            |nitro| {
                for index in 0..3 {
                    nitro.pcrs[index].1 = vec![0; 48];
                }
            },
        ),
        (
            "nitro-pcr2-zero",
            Some("nitro-debug"),
            "PCR2 alone is zero",
            |nitro| nitro.pcrs[2].1 = vec![0; 48],
        ),
        (
            "nitro-pcr1-missing",
            Some("nitro-debug"),
            "there is no PCR1",
            |nitro| {
                nitro.pcrs.remove(1);
            },
        ),
        (
            "nitro-time-outside",
            Some("nitro-timestamp"),
            "its time is outside the certificates' dates",
            |nitro| nitro.timestamp += 4 * 3_600_000,
        ),
    ];
    changes
        .map(|(name, refused_by, what, change)| {
            let mut nitro = Nitro::genuine();
            change(&mut nitro);
            Sample {
                name,
                tee: Tee::Nitro,
                forged: nitro.sign(&ASKED),
                refused_by,
                what,
            }
        })
        .to_vec()
}
