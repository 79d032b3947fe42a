//! The day that a build takes for its own, and before which it releases no keys
//! (`UnixSeconds::OF_THIS_SOURCE`), is a file of the source: the same commit is the same bytes wherever
//! it is built, with git or without. Here the file is held against the newest commit.

use std::fs;
use std::process::Command;

use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, capture, say};

const FILE: &str = "attestation/src/source-date";
const DAY: u64 = 86_400;
/// How far it may be behind the newest commit.
const MOST_DAYS_BEHIND: u64 = 31;

/// Refuses a date that is far behind the newest commit's, or later. Sources without their history have
/// nothing to compare it with.
pub(crate) fn check(machine: &Machine) -> Outcome<()> {
    let path = machine.root.join(FILE);
    let stated = fs::read_to_string(&path).doing(format_args!("reading {}", path.display()))?;
    if !machine.root.join(".git").exists() {
        say(format_args!(
            "these are no git checkout's sources: {FILE} is taken as it is"
        ));
        return Ok(());
    }
    let newest = capture(Command::new("git").arg("-C").arg(&machine.root).args([
        "log",
        "-1",
        "--format=%ct",
    ]))?;
    compare(&stated, &newest).map_err(Failure::new)
}

/// Holds what the file says against the time of the newest commit, both in seconds since 1970.
fn compare(stated: &str, newest: &str) -> Result<(), String> {
    let seconds = |text: &str, what: &str| {
        let parsed = text.trim().parse::<u64>();
        parsed.map_err(|_| format!("{what} is {text:?}, expected seconds since 1970"))
    };
    let (stated, newest) = (
        seconds(stated, FILE)?,
        seconds(newest, "the newest commit's time")?,
    );
    let today = newest - newest % DAY;
    let fault = if !stated.is_multiple_of(DAY) {
        "is not the beginning of a day (UTC)".to_owned()
    } else if stated > today {
        "is later than the newest commit: clocks that are right would release no keys".to_owned()
    } else if today - stated > MOST_DAYS_BEHIND * DAY {
        let days = (today - stated) / DAY;
        format!("is {days} days older than the newest commit, at most {MOST_DAYS_BEHIND} are good")
    } else {
        return Ok(());
    };
    Err(format!(
        "{FILE} says {stated}, which {fault}; write {today} into it, and then the conformance set anew \
         (attestation/conformance/README.md)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_a_month_behind_the_newest_commit_or_after_it_is_refused() {
        const TODAY: u64 = 20_787 * DAY;
        let compared = |stated: u64| compare(&format!("{stated}\n"), &format!("{}\n", TODAY + 5));
        assert_eq!(compared(TODAY), Ok(()));
        assert_eq!(compared(TODAY - 31 * DAY), Ok(()));
        let refused = compared(TODAY - 32 * DAY).unwrap_err();
        assert!(refused.contains("32 days"), "{refused}");
        assert!(refused.contains(&format!("write {TODAY}")), "{refused}");
        assert!(compared(TODAY + DAY).is_err());
        assert!(compared(TODAY - 1).is_err());
        assert!(compare("tomorrow", "1").is_err());
    }
}
