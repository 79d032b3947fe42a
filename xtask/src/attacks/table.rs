//! The table of attacks, read from `SECURITY.md`.

use std::fmt;

use crate::process::Outcome;

const HEADING: &str = "## How the known attacks are met";
const COLUMNS: [&str; 4] = ["#", "attack", "what stops it", "test"];
const WAITS: &str = "waits for ";

/// One attack.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) number: u32,
    pub(super) attack: String,
    pub(super) tests: Vec<Named>,
    /// What a test, or a further one, waits for: in words.
    pub(super) waits: Option<String>,
}

/// A test as the table names it: `suite::function` is a test of the crate `mc2-tests`,
/// `crate: module::function` one of that crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) krate: String,
    /// Modules and the function; the outermost modules may be left out.
    pub(super) path: Vec<String>,
}

/// The crate whose tests are named without it.
const TESTS: &str = "mc2-tests";

/// Every row of the table, in its order.
pub(super) fn rows(text: &str) -> Outcome<Vec<Row>> {
    let (_, section) = text
        .split_once(HEADING)
        .ok_or_else(|| format!("SECURITY.md has no section `{HEADING}`"))?;
    let mut lines = section
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with('|'));
    let header = cells(lines.next().unwrap_or_default());
    if header != COLUMNS {
        return Err(format!(
            "the table of attacks in SECURITY.md has the columns {header:?}, expected {COLUMNS:?}"
        )
        .into());
    }
    lines.skip(1).map(row).collect()
}

fn row(line: &str) -> Outcome<Row> {
    let [number, attack, _, test] = cells(line)
        .try_into()
        .map_err(|_| format!("expected four cells in SECURITY.md's row `{line}`"))?;
    let number = number
        .parse()
        .map_err(|error| format!("the number of SECURITY.md's row `{line}`: {error}"))?;
    let (named, waits) = match test.find(WAITS) {
        None => (test, None),
        // A few words before it may say what the wait is about: `; debug bits: waits for …`.
        Some(at) => {
            let from = test[..at].rfind(';').map_or(0, |semicolon| semicolon + 1);
            (&test[..from], Some(test[from..].trim().to_owned()))
        }
    };
    let tests = named
        .split('`')
        .skip(1)
        .step_by(2)
        .map(Named::parse)
        .collect();
    Ok(Row {
        number,
        attack: attack.to_owned(),
        tests,
        waits,
    })
}

fn cells(line: &str) -> Vec<&str> {
    let line = line.trim().trim_start_matches('|').trim_end_matches('|');
    line.split('|').map(str::trim).collect()
}

impl Named {
    pub(super) fn parse(text: &str) -> Self {
        let (krate, path) = text.split_once(": ").unwrap_or((TESTS, text));
        Self {
            krate: krate.trim().to_owned(),
            path: path.trim().split("::").map(str::to_owned).collect(),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.krate != TESTS {
            write!(f, "{}: ", self.krate)?;
        }
        f.write_str(&self.path.join("::"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rows: &str) -> String {
        format!(
            "# Security\n\n{HEADING}\n\nWords.\n\n| # | attack | what stops it | test |\n\
             |---|---|---|---|\n{rows}\n\n## Next\n\n| 9 | another | table | `a::b` |\n"
        )
    }

    #[test]
    fn tests_and_what_a_row_waits_for_are_told_apart() {
        let rows = rows(&text(
            "| 1 | a | b | `replay::one`, `mc2-x: m::two` |\n\
             | 2 | a | `any` is spelt | waits for real enclaves |\n\
             | 3 | a | b | `s::f`; debug bits of `sgx`: waits for real enclaves |\n\
             | 4 | a | b | – |",
        ))
        .unwrap();
        assert_eq!(rows.len(), 4);
        let [one, two] = rows[0].tests.clone().try_into().unwrap();
        assert_eq!((one.krate.as_str(), one.path.len()), (TESTS, 2));
        assert_eq!(one.to_string(), "replay::one");
        assert_eq!(two.to_string(), "mc2-x: m::two");
        assert!(rows[0].waits.is_none());
        assert!(rows[1].tests.is_empty());
        assert_eq!(rows[1].waits.as_deref(), Some("waits for real enclaves"));
        assert_eq!(rows[2].tests, [Named::parse("s::f")]);
        assert!(rows[2].waits.as_deref().unwrap().starts_with("debug bits"));
        assert!(rows[3].tests.is_empty() && rows[3].waits.is_none());
    }

    #[test]
    fn another_table_is_refused() {
        assert!(rows("# Security").is_err());
        assert!(rows(&format!("{HEADING}\n| # | attack |\n|---|---|\n")).is_err());
        assert!(rows(&text("| one | a | b | `s::f` |")).is_err());
        assert!(rows(&text("| 1 | a | b |")).is_err());
    }
}
