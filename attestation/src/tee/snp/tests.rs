//! Real reports with the verdicts that `docs/attestation.md` tells, and forged ones that are wrong
//! in one way each.

use mc2_protocol::policy::{Platform, SnpTcb, TcbStatus};

use crate::{
    Tee, UnixSeconds,
    claims::{Hardware, Tcb},
    tee::{Accepted, Roots},
    test_util::{
        forger::{self, RevocationList, Snp},
        samples::shared,
        trial::Trial,
    },
};

fn without_list() -> Accepted {
    Accepted {
        missing_crl: true,
        ..Accepted::default()
    }
}

/// A real sample, for which AMD's revocation list of its time is not at hand.
fn real(name: &str, now: u64) -> Option<Trial> {
    let report = shared(&format!("snp/{name}/report.bin"))?;
    let certificate = shared(&format!("snp/{name}/vek.der"))?;
    let sample = Trial::new(Tee::SevSnp, report, now).with("application/pkix-cert", certificate);
    Some(Trial {
        accepted: without_list(),
        ..sample
    })
}

type Change = fn(&mut Snp);

fn forged(change: impl FnOnce(&mut Snp)) -> Trial {
    let mut snp = Snp::genoa();
    change(&mut snp);
    sample(&snp)
}

fn sample(snp: &Snp) -> Trial {
    let forged = snp.sign(&[7; 64]);
    Trial {
        endorsements: forged.endorsements,
        roots: Snp::roots(),
        ..Trial::new(Tee::SevSnp, forged.evidence.value.0, forger::NOW.0)
    }
}

fn hardware(sample: &Trial) -> Hardware {
    sample.verify().claims.unwrap().hardware.unwrap()
}

/// The table of `docs/attestation.md`.
#[test]
fn real_reports_get_their_verdicts() {
    for (name, now, failed, status) in [
        (
            "milan_sev",
            1_750_000_000,
            vec![],
            TcbStatus::OutOfDateConfigurationNeeded,
        ),
        (
            "oak_milan_oc_release",
            1_750_000_000,
            vec![],
            TcbStatus::OutOfDate,
        ),
        ("oak_genoa_oc", 1_760_000_000, vec![], TcbStatus::OutOfDate),
        (
            "vlek_milan_trustee",
            1_740_000_000,
            vec!["snp-vmpl"],
            TcbStatus::OutOfDate,
        ),
    ] {
        let Some(sample) = real(name, now) else {
            return;
        };
        assert_eq!(sample.failed(), failed, "{name}");
        assert_eq!(hardware(&sample).tcb, Tcb::Known(status), "{name}");
        let strict = Trial {
            accepted: Accepted::default(),
            ..sample.clone()
        };
        assert_eq!(strict.refused_by(), "snp-crl", "{name}");
        sample.withstands("snp-dates", "snp-chain", &Snp::roots());
    }
}

/// A VLEK lives a year: this one was good in 2025 and is not any more.
#[test]
fn a_vlek_past_its_date_is_refused() {
    let Some(sample) = real("vlek_milan_trustee", 1_796_000_000) else {
        return;
    };
    assert_eq!(sample.refused_by(), "snp-dates");
}

#[test]
fn a_real_report_under_another_chips_certificate_is_refused() {
    let (Some(report), Some(other)) = (
        real("oak_milan_oc_release", 1_750_000_000),
        real("milan_sev", 1_750_000_000),
    ) else {
        return;
    };
    let mixed = Trial {
        endorsements: other.endorsements,
        ..report
    };
    assert_eq!(mixed.refused_by(), "snp-signature");
    assert!(mixed.verify().claims.is_none());
}

#[test]
fn forged_reports_of_every_line_version_and_signer_pass_under_their_roots_alone() {
    for base in [Snp::milan(), Snp::genoa(), Snp::turin()] {
        for version in 2..=5 {
            for signer in [base.clone(), base.clone().with_vlek("cloud.example")] {
                let good = sample(&Snp { version, ..signer });
                assert_eq!(good.failed(), [""; 0], "version {version}");
                let real = Trial {
                    roots: Roots::default(),
                    ..good
                };
                assert_eq!(real.refused_by(), "snp-chain");
            }
        }
    }
    sample(&Snp::genoa()).withstands("snp-", "snp-chain", &Roots::default());
    sample(&Snp::turin().with_vlek("a")).withstands("snp-", "snp-chain", &Roots::default());
}

#[test]
fn a_report_names_its_chip_or_its_operator() {
    let chip = hardware(&sample(&Snp::genoa())).platforms;
    assert_eq!(chip, [format!("chip:{}", "c1".repeat(64)).parse().unwrap()]);
    let operator = hardware(&sample(&Snp::genoa().with_vlek("cloud.example"))).platforms;
    assert_eq!(operator, [Platform::Vlek("cloud.example".to_owned())]);
}

/// A masked chip is of no listed platform, whatever its certificate says.
#[test]
fn a_masked_chip_is_no_platform() {
    let masked = forged(|snp| snp.chip_id = [0; 64]);
    assert_eq!(masked.failed(), [""; 0]);
    assert!(hardware(&masked).platforms.is_empty());
}

/// Rows 2, 8 and 29: one field that is wrong, each with the check that says so.
#[test]
fn one_wrong_field_of_an_snp_report_is_refused_by_its_check() {
    let changes: [(&str, Change); 17] = [
        ("snp-report", |snp| snp.version = 1),
        ("snp-report", |snp| snp.version = 6),
        ("snp-debug", |snp| snp.policy |= 1 << 19),
        ("snp-migration", |snp| snp.policy |= 1 << 18),
        ("snp-vmpl", |snp| snp.vmpl = 1),
        ("snp-signer", |snp| snp.key_info = 1 << 2),
        ("snp-signer", |snp| snp.key_info = 7 << 2),
        ("snp-product", |snp| snp.cpu = [0x19, 0x01, 0x01]),
        ("snp-product", |snp| snp.cpu = [0xff, 0xff, 0xff]),
        ("snp-product", |snp| {
            snp.product_name = "Milan-B0".to_owned()
        }),
        ("snp-tcb", |snp| snp.certified_tcb[3] += 1),
        ("snp-tcb", |snp| snp.certified_tcb[4] -= 1),
        ("snp-chip", |snp| snp.chip_id[63] ^= 1),
        ("snp-measurement", |snp| snp.measurement = [0; 48]),
        ("snp-firmware", |snp| snp.committed_tcb[6] -= 1),
        ("snp-firmware", |snp| snp.current_tcb[7] -= 1),
        ("snp-dates", |snp| {
            snp.holds.until = UnixSeconds(forger::NOW.0 - 1)
        }),
    ];
    for (index, (id, change)) in changes.into_iter().enumerate() {
        let sample = forged(change);
        assert_eq!(sample.refused_by(), id, "change {index}");
    }
}

/// Row 9: revoked, stale, endless and missing lists.
#[test]
fn only_a_current_revocation_list_without_the_authority_passes() {
    let list = |change: fn(&mut RevocationList)| {
        forged(|snp| {
            if let Some(list) = &mut snp.revocation_list {
                change(list);
            }
        })
    };
    assert_eq!(list(|_| ()).failed(), [""; 0]);
    let changes: [fn(&mut RevocationList); 5] = [
        |list| list.revoked.push(forger::ask_serial()),
        |list| list.revoked.push(forger::ark_serial()),
        |list| list.until = None,
        |list| list.until = Some(UnixSeconds(forger::NOW.0 - 1)),
        |list| list.from = UnixSeconds(forger::NOW.0 + 1),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert_eq!(list(change).failed(), ["snp-crl"], "change {index}");
    }
    // Another authority that was revoked is another matter.
    assert_eq!(list(|list| list.revoked.push(vec![9])).failed(), [""; 0]);
    let none = forged(|snp| snp.revocation_list = None);
    assert_eq!(none.failed(), ["snp-crl"]);
    let accepted = Trial {
        accepted: without_list(),
        ..none
    };
    assert_eq!(accepted.failed(), [""; 0]);
}

/// A list that is there is believed, also by who would do without one.
#[test]
fn who_does_without_a_list_heeds_one_that_is_there() {
    let revoked = forged(|snp| {
        if let Some(list) = &mut snp.revocation_list {
            list.revoked.push(forger::ask_serial());
        }
    });
    let lenient = Trial {
        accepted: without_list(),
        ..revoked
    };
    assert_eq!(lenient.failed(), ["snp-crl"]);
}

#[test]
fn evidence_without_its_certificate_or_with_two_is_refused() {
    let good = sample(&Snp::genoa());
    let mut none = good.clone();
    none.endorsements.remove(0);
    assert_eq!(none.refused_by(), "snp-certificate");
    let mut twice = good.clone();
    twice.endorsements.push(good.endorsements[0].clone());
    assert_eq!(twice.refused_by(), "snp-certificate");
    // Authorities may come along: they count for nothing.
    let mut more = good;
    more.endorsements.push(crate::Endorsement {
        media_type: "application/pkix-cert".to_owned(),
        value: Roots::default().amd[0].ark.clone().into(),
    });
    assert_eq!(more.failed(), [""; 0]);
}

/// Row 9: firmware that a bulletin names is out of date, also where only the guest's start was
/// under it; of any other nobody says that it is not.
#[test]
fn old_firmware_is_out_of_date_and_newer_is_not_assessed() {
    let status = |trial: &Trial| hardware(trial).tcb;
    let changes: [fn(&mut Snp); 2] = [
        |snp| snp.launch_tcb[6] = 0x1a,
        |snp| {
            snp.reported_tcb[7] = 0x55;
            snp.certified_tcb[4] = 0x55;
        },
    ];
    for change in changes {
        let sample = forged(change);
        assert_eq!(sample.failed(), [""; 0]);
        assert_eq!(status(&sample), Tcb::Known(TcbStatus::OutOfDate));
    }
    for newest in [Snp::milan(), Snp::genoa(), Snp::turin()] {
        assert_eq!(status(&sample(&newest)), Tcb::Known(TcbStatus::Unassessed));
    }
    let under = |snp: u8| Trial {
        accepted: Accepted {
            min_snp_tcb: Some(SnpTcb {
                snp,
                ..SnpTcb::default()
            }),
            ..Accepted::default()
        },
        ..forged(|_| ())
    };
    assert_eq!(status(&under(0x1b)), Tcb::Known(TcbStatus::UpToDate));
    assert_eq!(status(&under(0x1c)), Tcb::Known(TcbStatus::OutOfDate));
}

/// Row 35: a list that is good but older than one that was seen.
#[test]
fn a_revocation_list_that_was_rolled_back_is_refused() {
    let mut sample = forged(|_| ());
    sample.seen = sample.verify().marks;
    assert_eq!(sample.failed(), [""; 0]);
    let older = |change: fn(&mut RevocationList)| Trial {
        seen: sample.seen.clone(),
        ..forged(|snp| {
            if let Some(list) = &mut snp.revocation_list {
                change(list);
            }
        })
    };
    let by_number = older(|list| list.number = 0);
    assert_eq!(by_number.failed(), ["snp-rollback"]);
    let by_date = older(|list| list.from.0 -= 1);
    assert_eq!(by_date.failed(), ["snp-rollback"]);
    let newer = older(|list| list.number = 2);
    assert_eq!(newer.failed(), [""; 0]);
}
