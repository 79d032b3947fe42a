//! Versions of firmware and microcode, and what is known of them.
//!
//! AMD signs no list of good ones, as Intel does, and the versions in a report do not show all of
//! what its bulletins ask for. So nothing here calls a platform up to date: what is below a version
//! that a bulletin names is out of date, everything else is unassessed, unless the verifier gives a
//! minimum of its own.

use mc2_protocol::policy::{SnpTcb, TcbStatus};

use crate::tee::{Product, snp_tcb::reaches};

/// The processor, from version 3 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cpu {
    pub(super) family: u8,
    pub(super) model: u8,
    pub(super) stepping: u8,
}

impl Cpu {
    const fn new(family: u8, model: u8, stepping: u8) -> Self {
        Self {
            family,
            model,
            stepping,
        }
    }
}

const GENOA_B1: Cpu = Cpu::new(0x19, 0x11, 1);
const GENOA_X_B2: Cpu = Cpu::new(0x19, 0x11, 2);
const TURIN_C1: Cpu = Cpu::new(0x1a, 0x02, 1);

/// What a bulletin asks for.
struct Bulletin {
    name: &'static str,
    of: Of,
    /// The least SNP firmware and microcode; microcode of two steppings does not compare.
    snp: u8,
    microcode: u8,
}

/// Whom it asks.
enum Of {
    /// Every processor of a line.
    Line(Product),
    /// One processor.
    Cpu(Cpu),
}

impl Bulletin {
    const fn line(name: &'static str, product: Product, snp: u8) -> Self {
        Self {
            name,
            of: Of::Line(product),
            snp,
            microcode: 0,
        }
    }

    const fn cpu(name: &'static str, cpu: Cpu, snp: u8, microcode: u8) -> Self {
        Self {
            name,
            of: Of::Cpu(cpu),
            snp,
            microcode,
        }
    }

    fn is_about(&self, product: Product, cpu: Option<Cpu>) -> bool {
        match self.of {
            Of::Line(line) => line == product,
            Of::Cpu(one) => Some(one) == cpu,
        }
    }

    /// Whether one of `versions` is below what it asks for.
    fn is_open_to(&self, versions: &[SnpTcb]) -> bool {
        let least = SnpTcb {
            snp: self.snp,
            microcode: self.microcode,
            ..SnpTcb::default()
        };
        !versions.iter().all(|version| reaches(version, &least))
    }
}

/// The bulletins whose versions are known here, from those who quote them: `docs/attestation.md` has
/// the sources. They only ever make a platform out of date.
const BULLETINS: [Bulletin; 12] = [
    Bulletin::cpu("AMD-SB-3019", GENOA_B1, 0x17, 0x54),
    Bulletin::cpu("AMD-SB-3019", GENOA_X_B2, 0x17, 0x4f),
    Bulletin::cpu("AMD-SB-3020", GENOA_B1, 0x1b, 0x56),
    Bulletin::cpu("AMD-SB-3020", GENOA_X_B2, 0x1b, 0x51),
    Bulletin::cpu("AMD-SB-3020", TURIN_C1, 0x04, 0x50),
    Bulletin::line("AMD-SB-3023", Product::Milan, 0x1b),
    Bulletin::line("AMD-SB-3023", Product::Genoa, 0x1b),
    Bulletin::line("AMD-SB-3023", Product::Turin, 0x04),
    Bulletin::cpu("AMD-SB-3027", GENOA_B1, 0, 0x56),
    Bulletin::cpu("AMD-SB-3027", GENOA_X_B2, 0, 0x51),
    Bulletin::cpu("AMD-SB-3027", TURIN_C1, 0, 0x51),
    Bulletin::line("AMD-SB-3030", Product::Milan, 0x1d),
];

/// The state of a platform's firmware.
pub(super) struct State {
    pub(super) status: TcbStatus,
    pub(super) advisories: Vec<String>,
}

/// The state of firmware of which the oldest of `versions` counts: an older one may have planted
/// what a newer one keeps. `least` is the verifier's own minimum, and decides where it is given.
pub(super) fn state(
    versions: &[SnpTcb],
    product: Product,
    cpu: Option<Cpu>,
    least: Option<&SnpTcb>,
    aliases_were_looked_for: bool,
) -> State {
    let mut advisories: Vec<String> = BULLETINS
        .iter()
        .filter(|bulletin| bulletin.is_about(product, cpu) && bulletin.is_open_to(versions))
        .map(|bulletin| bulletin.name.to_owned())
        .collect();
    // `None` where nobody knows.
    let current = match least {
        Some(least) => Some(versions.iter().all(|version| reaches(version, least))),
        None => (!advisories.is_empty()).then_some(false),
    };
    if !aliases_were_looked_for {
        advisories.push("AMD-SB-3015".to_owned());
    }
    State {
        status: match (current, aliases_were_looked_for) {
            (Some(true), true) => TcbStatus::UpToDate,
            (Some(true), false) => TcbStatus::ConfigurationNeeded,
            (None, true) => TcbStatus::Unassessed,
            (Some(false), true) => TcbStatus::OutOfDate,
            (Some(false) | None, false) => TcbStatus::OutOfDateConfigurationNeeded,
        },
        advisories,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(snp: u8, microcode: u8) -> SnpTcb {
        SnpTcb {
            bootloader: 10,
            snp,
            microcode,
            ..SnpTcb::default()
        }
    }

    fn genoa(versions: &[SnpTcb], least: Option<SnpTcb>, looked: bool) -> State {
        state(
            versions,
            Product::Genoa,
            Some(GENOA_B1),
            least.as_ref(),
            looked,
        )
    }

    /// Row 9: one old part, or one old version among several, makes the platform out of date.
    #[test]
    fn a_platform_is_as_old_as_its_oldest_part() {
        let good = version(0x1b, 0x56);
        let status = |one| genoa(&[good, one], None, true).status;
        assert_eq!(status(good), TcbStatus::Unassessed);
        assert_eq!(status(version(0x1a, 0xff)), TcbStatus::OutOfDate);
        assert_eq!(status(version(0xff, 0x55)), TcbStatus::OutOfDate);
        let open = genoa(&[version(0x1a, 0x55)], None, true).advisories;
        assert_eq!(open, ["AMD-SB-3020", "AMD-SB-3023", "AMD-SB-3027"]);
    }

    /// Nothing but a minimum that somebody gave makes a platform up to date.
    #[test]
    fn no_version_is_up_to_date_by_itself() {
        let newest = [version(0xff, 0xff)];
        for product in [Product::Milan, Product::Genoa, Product::Turin] {
            for cpu in [None, Some(GENOA_B1), Some(Cpu::new(0xff, 0xff, 0xff))] {
                let status = |least| state(&newest, product, cpu, least, true).status;
                assert_eq!(status(None), TcbStatus::Unassessed);
                assert_eq!(status(Some(&version(0x20, 0x20))), TcbStatus::UpToDate);
            }
        }
    }

    /// A line's bulletins count where the report does not tell the processor.
    #[test]
    fn an_old_milan_is_out_of_date_whatever_it_says_of_itself() {
        for cpu in [None, Some(Cpu::new(0x19, 0x01, 2))] {
            let found = state(&[version(0x1c, 0xff)], Product::Milan, cpu, None, true);
            assert_eq!(found.status, TcbStatus::OutOfDate);
            assert_eq!(found.advisories, ["AMD-SB-3030"]);
        }
    }

    /// The verifier's own minimum decides, and what it leaves open is told all the same.
    #[test]
    fn a_minimum_of_the_verifier_s_own_decides() {
        let old = genoa(&[version(0x17, 0x54)], Some(version(0x17, 0x54)), true);
        assert_eq!(old.status, TcbStatus::UpToDate);
        assert!(old.advisories.contains(&"AMD-SB-3020".to_owned()));
        let newer = genoa(&[version(0x1b, 0x56)], Some(version(0x1c, 0)), true);
        assert_eq!(newer.status, TcbStatus::OutOfDate);
    }

    #[test]
    fn memory_that_nobody_tested_for_aliases_needs_configuration() {
        let good = version(0x1b, 0x56);
        let found = genoa(&[good], Some(good), false);
        assert_eq!(found.status, TcbStatus::ConfigurationNeeded);
        assert_eq!(found.advisories, ["AMD-SB-3015"]);
        // Not "unassessed": who accepts that did not accept this.
        let found = genoa(&[good], None, false);
        assert_eq!(found.status, TcbStatus::OutOfDateConfigurationNeeded);
    }
}
