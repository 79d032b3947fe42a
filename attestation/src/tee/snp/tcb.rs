//! Versions of firmware and microcode, and which are good.
//!
//! AMD signs no list of the good ones, as Intel does. This release carries the least versions that
//! its security bulletins name, for the processors of which it knows them; a verifier that knows
//! better, or of another processor, gives its own.

use mc2_protocol::policy::TcbStatus;

use crate::tee::snp_tcb::TcbVersion;

/// The processor, from version 3 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cpu {
    pub(super) family: u8,
    pub(super) model: u8,
    pub(super) stepping: u8,
}

/// The least versions that are good on one processor, and the bulletins that say so.
struct Least {
    cpu: Cpu,
    version: TcbVersion,
    bulletins: &'static [&'static str],
}

const LEAST: [Least; 2] = [
    Least {
        cpu: Cpu {
            family: 0x19,
            model: 0x01,
            stepping: 0x01,
        },
        version: TcbVersion {
            fmc: 0,
            bootloader: 0,
            tee: 0,
            snp: 0x18,
            microcode: 0xdb,
        },
        bulletins: &["AMD-SB-3019"],
    },
    Least {
        cpu: Cpu {
            family: 0x19,
            model: 0x11,
            stepping: 0x01,
        },
        version: TcbVersion {
            fmc: 0,
            bootloader: 0,
            tee: 0,
            snp: 0x1b,
            microcode: 0x56,
        },
        bulletins: &["AMD-SB-3019", "AMD-SB-3020", "AMD-SB-3027"],
    },
];

/// The state of a platform's firmware.
pub(super) struct State {
    pub(super) status: TcbStatus,
    pub(super) advisories: Vec<String>,
}

/// The state of firmware of which the oldest of `versions` counts (an older one may have planted
/// what a newer one keeps), on a processor `cpu`, where `least` is the verifier's own minimum.
///
/// A processor of which neither this release nor the verifier knows a minimum is out of date:
/// nobody said that it is not.
pub(super) fn state(
    versions: &[TcbVersion],
    cpu: Option<Cpu>,
    least: Option<&TcbVersion>,
    aliases_were_looked_for: bool,
) -> State {
    let known = LEAST.iter().find(|known| Some(known.cpu) == cpu);
    let (least, bulletins) = match (least, known) {
        (Some(least), _) => (Some(least), &[][..]),
        (None, Some(known)) => (Some(&known.version), known.bulletins),
        (None, None) => (None, &[][..]),
    };
    let current = least.is_some_and(|least| versions.iter().all(|one| one.reaches(least)));
    let mut advisories = Vec::new();
    if !current {
        advisories.extend(bulletins.iter().map(|&name| name.to_owned()));
    }
    if !aliases_were_looked_for {
        advisories.push("AMD-SB-3015".to_owned());
    }
    State {
        status: match (current, aliases_were_looked_for) {
            (true, true) => TcbStatus::UpToDate,
            (true, false) => TcbStatus::ConfigurationNeeded,
            (false, true) => TcbStatus::OutOfDate,
            (false, false) => TcbStatus::OutOfDateConfigurationNeeded,
        },
        advisories,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENOA: Cpu = Cpu {
        family: 0x19,
        model: 0x11,
        stepping: 1,
    };

    fn version(snp: u8, microcode: u8) -> TcbVersion {
        TcbVersion {
            bootloader: 10,
            snp,
            microcode,
            ..TcbVersion::default()
        }
    }

    /// Row 9: one old part, or one old version among several, makes the platform out of date.
    #[test]
    fn a_platform_is_as_old_as_its_oldest_part() {
        let status = |versions: &[TcbVersion]| state(versions, Some(GENOA), None, true).status;
        let good = version(0x1b, 0x56);
        assert_eq!(status(&[good, good]), TcbStatus::UpToDate);
        assert_eq!(status(&[good, version(0x1a, 0xff)]), TcbStatus::OutOfDate);
        assert_eq!(status(&[good, version(0xff, 0x55)]), TcbStatus::OutOfDate);
    }

    #[test]
    fn a_processor_nobody_knows_a_minimum_of_is_out_of_date() {
        let newer = Cpu {
            stepping: 2,
            ..GENOA
        };
        let versions = [version(0xff, 0xff)];
        for cpu in [Some(newer), None] {
            let status = state(&versions, cpu, None, true).status;
            assert_eq!(status, TcbStatus::OutOfDate);
            let mine = version(0x20, 0x20);
            let status = state(&versions, cpu, Some(&mine), true).status;
            assert_eq!(status, TcbStatus::UpToDate);
        }
    }

    #[test]
    fn memory_that_nobody_tested_for_aliases_needs_configuration() {
        let good = [version(0x1b, 0x56)];
        let found = state(&good, Some(GENOA), None, false);
        assert_eq!(found.status, TcbStatus::ConfigurationNeeded);
        assert_eq!(found.advisories, ["AMD-SB-3015"]);
    }
}
