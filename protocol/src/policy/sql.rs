//! `{ fixed_sql = "…", params = {…} }`: a query approved as text, with typed values beside it.
//!
//! The text is an argument of its own, byte for byte, and so is each value: what a value says is
//! never part of the text. The engine binds them; what is checked here is that a value is of its
//! type, and that text and parameters fit together, so that a slip is found when the policy is read
//! and not when the job has run.

use std::fmt;

use super::{
    argument::is_number,
    error::{PolicyError, Problem},
    reader::Node,
    units::is_date,
};
use crate::Name;

const MAX_PARAMS: usize = 64;
/// The option that comes before each value.
const OPTION: &str = "--param";
/// Most bytes of a text that is a value.
pub const MAX_PARAM_TEXT: usize = 64 * 1024;

/// A query whose text is fixed but for the values of its parameters. It stands for several
/// arguments: the text, then for each parameter in the order of their names `--param` and
/// `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FixedSql {
    /// The text, in which `$name` outside strings, quoted names and comments is a parameter.
    pub text: String,
    /// The parameters, sorted by name.
    pub params: Vec<(Name, ParamType)>,
}

/// What a parameter's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// A day of the calendar, `2026-12-31`.
    Date,
    /// A number in its plain spelling.
    Number,
    /// A text of at most [`MAX_PARAM_TEXT`] bytes.
    Text,
}

impl FixedSql {
    /// How many arguments it stands for.
    pub const fn arguments(&self) -> usize {
        1 + 2 * self.params.len()
    }

    /// Holds so many arguments against it.
    ///
    /// # Errors
    /// The number of the first that is not what it allows, from 0, and what it allows there.
    pub(super) fn check(&self, arguments: &[String]) -> Result<(), (usize, String)> {
        let Some((text, values)) = arguments.split_first() else {
            return Err((0, self.to_string()));
        };
        if *text != self.text {
            return Err((0, self.to_string()));
        }
        let pairs = values.chunks(2).zip(&self.params).enumerate();
        for (index, (pair, (name, kind))) in pairs {
            let place = 1 + 2 * index;
            if pair[0] != OPTION {
                return Err((place, format!("{OPTION}, before the value of {name}")));
            }
            let value = pair
                .get(1)
                .and_then(|value| value.strip_prefix(name.as_str()))
                .and_then(|value| value.strip_prefix('='));
            if !value.is_some_and(|value| kind.allows(value)) {
                return Err((place + 1, format!("{name}= and {kind}")));
            }
        }
        match values.len() / 2 == self.params.len() {
            true => Ok(()),
            false => Err((arguments.len(), self.to_string())),
        }
    }

    pub(super) fn read(sql: &Node<'_>, params: Option<&Node<'_>>) -> Result<Self, PolicyError> {
        let text = sql.string()?;
        if text.trim().is_empty() || text.contains('\0') {
            return Err(sql.error(Problem::value("the text of a query", text)));
        }
        let used = placeholders(text);
        let mut read = Vec::new();
        for entry in params.map_or(Ok(Vec::new()), |node| node.entries(MAX_PARAMS))? {
            let name = entry.key.checked(entry.key.name)?;
            if !used.contains(&name.as_str()) {
                return Err(entry.key.error(Problem::unknown(
                    "placeholder outside strings, quoted names and comments of the query for",
                    name.as_str(),
                    used.iter().map(|name| format!("${name}")),
                )));
            }
            let kind = match entry.value.string()? {
                "date" => ParamType::Date,
                "number" => ParamType::Number,
                "text" => ParamType::Text,
                other => {
                    let expected = "\"date\", \"number\" or \"text\"";
                    return Err(entry.value.error(Problem::value(expected, other)));
                }
            };
            read.push((name, kind));
        }
        let untyped = used
            .iter()
            .find(|used| !read.iter().any(|(name, _)| name.as_str() == **used));
        if let Some(name) = untyped {
            let known = read.iter().map(|(name, _)| name);
            return Err(sql.error(Problem::unknown("type in `params` for", name, known)));
        }
        Ok(Self {
            text: text.to_owned(),
            params: read,
        })
    }
}

impl fmt::Display for FixedSql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fixed query to the letter")?;
        for (name, kind) in &self.params {
            write!(f, ", then {OPTION}, then {name}= and {kind}")?;
        }
        Ok(())
    }
}

impl ParamType {
    /// Whether `value`, all of it, is one of this type.
    pub fn allows(self, value: &str) -> bool {
        match self {
            Self::Date => is_date(value),
            Self::Number => is_number(value),
            Self::Text => value.len() <= MAX_PARAM_TEXT && !value.contains('\0'),
        }
    }
}

impl fmt::Display for ParamType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Date => f.write_str("a day of the calendar as 2026-12-31"),
            Self::Number => f.write_str("a number in its plain spelling"),
            Self::Text => write!(f, "a text of at most {MAX_PARAM_TEXT} bytes"),
        }
    }
}

/// The names of the parameters in a query, as often as they stand there: every `$name` that is in
/// no string, quoted name or comment, nor part of another word. A `$` alone has an empty name.
///
/// It reads SQL as the engine's tokenizer does, as far as it takes to know where those end. Where
/// the two should differ, the engine refuses a value without a parameter and a parameter without a
/// value; no value becomes part of the text by it.
fn placeholders(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '\'' => after(&rest[1..], "'"),
            '"' => after(&rest[1..], "\""),
            '`' => after(&rest[1..], "`"),
            '-' if rest.starts_with("--") => after(rest, "\n"),
            '/' if rest.starts_with("/*") => after_comment(&rest[2..]),
            '$' => {
                let (name, behind) = split_at(&rest[1..], |c| c.is_alphanumeric() || c == '_');
                if let Some(quoted) = behind.strip_prefix('$') {
                    // `$tag$ … $tag$`, the tag empty or not.
                    after(quoted, &format!("${name}$"))
                } else {
                    // `$1` is a prepared statement's own.
                    if !name.starts_with(|c: char| c.is_ascii_digit()) {
                        found.push(name);
                    }
                    behind
                }
            }
            _ if starts_word(first) => {
                let (word, behind) = split_at(rest, |c| starts_word(c) || is_in_word(c));
                match behind.strip_prefix('\'') {
                    Some(quoted) if word.eq_ignore_ascii_case("e") => after_escaped(quoted),
                    _ => behind,
                }
            }
            _ => &rest[first.len_utf8()..],
        };
    }
    found
}

fn starts_word(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '_' | '#' | '@')
}

/// What a word may have besides what it may start with.
fn is_in_word(c: char) -> bool {
    c.is_ascii_digit() || c == '$'
}

fn split_at(text: &str, within: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !within(c)).unwrap_or(text.len()))
}

/// What follows the next `end`. A quote that is doubled ends a string and begins another, which
/// comes to the same.
fn after<'t>(text: &'t str, end: &str) -> &'t str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

/// What follows a comment, in which others may stand.
fn after_comment(mut text: &str) -> &str {
    let mut depth = 1;
    while depth > 0 {
        let Some(at) = text.find(['*', '/']) else {
            return "";
        };
        text = &text[at..];
        let length = match () {
            () if text.starts_with("/*") => {
                depth += 1;
                2
            }
            () if text.starts_with("*/") => {
                depth -= 1;
                2
            }
            () => 1,
        };
        text = &text[length..];
    }
    text
}

/// What follows a string in which a backslash takes the meaning from what comes after it.
fn after_escaped(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> FixedSql {
        FixedSql {
            text: "select $a, $b, $c".to_owned(),
            params: [
                ("a", ParamType::Date),
                ("b", ParamType::Number),
                ("c", ParamType::Text),
            ]
            .map(|(name, kind)| (name.parse().unwrap(), kind))
            .to_vec(),
        }
    }

    fn refused(arguments: &[&str]) -> Option<usize> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        query().check(&arguments).err().map(|(at, _)| at)
    }

    #[test]
    fn a_query_is_its_text_and_its_values_each_an_argument_of_its_own() {
        let text = "select $a, $b, $c";
        let good = [
            text,
            "--param",
            "a=2026-02-28",
            "--param",
            "b=-1.5",
            "--param",
            "c=x' or $a=\n--",
        ];
        assert_eq!(refused(&good), None);
        assert_eq!(good.len(), query().arguments());
        for at in 0..good.len() {
            for wrong in [
                "",
                "--param",
                "a=2026-02-28 ",
                "--output",
                "select $a, $b, $c ",
            ] {
                let mut bad = good;
                bad[at] = wrong;
                let same = wrong == good[at];
                assert_eq!(refused(&bad), (!same).then_some(at), "{at}: {wrong:?}");
            }
        }
        let swapped = [
            text,
            "--param",
            "b=1",
            "--param",
            "a=2026-02-28",
            "--param",
            "c=",
        ];
        assert_eq!(refused(&swapped), Some(2));
        assert!(refused(&good[..6]).is_some() && refused(&good[..5]).is_some());
        assert!(refused(&[]).is_some());
    }

    #[test]
    fn a_value_is_of_its_type() {
        for (kind, good, bad) in [
            (
                ParamType::Date,
                &["2026-12-31", "2024-02-29", "0001-01-01"][..],
                &[
                    "",
                    "2026-2-3",
                    "2026-02-29",
                    "2026-13-01",
                    "2026-00-10",
                    "2026-01-32",
                    "0000-01-01",
                    "+026-01-01",
                    "2026-01-01 ",
                    "2026/01/01",
                    "2026-01-01T00:00",
                    "２026-01-01",
                    "26-01-01",
                    "20260101",
                ][..],
            ),
            (
                ParamType::Number,
                &["0", "-5", "0.3", "123456789012345678"],
                &[
                    "", "1e3", "+1", "01", "1.0", "1.", ".5", "-0", "0x1", "1 ", "NaN", "1 or 1=1",
                ],
            ),
            (ParamType::Text, &["", "it's", "a\nb", "$x"], &["a\0b"]),
        ] {
            for value in good {
                assert!(kind.allows(value), "{kind:?} {value:?}");
            }
            for value in bad {
                assert!(!kind.allows(value), "{kind:?} {value:?}");
            }
        }
        assert!(ParamType::Text.allows(&"x".repeat(MAX_PARAM_TEXT)));
        assert!(!ParamType::Text.allows(&"x".repeat(MAX_PARAM_TEXT + 1)));
    }

    #[test]
    fn a_placeholder_is_what_stands_in_no_string_name_or_comment() {
        for (text, names) in [
            ("select $a + $b where c = $a", &["a", "b", "a"][..]),
            ("$_x1, $ü", &["_x1", "ü"]),
            ("select '$x', 'it''s $x', '', $a", &["a"]),
            (r"select 'back\', $a, 'slash'", &["a"]),
            (r"select e'it\'s $x', E'\\', $a", &["a"]),
            (r"select name'\', $a", &["a"]),
            ("select \"$x\", \"a\"\"$x\", `$x`, $a", &["a"]),
            ("select $a -- $x\n, $b -- $x", &["a", "b"]),
            ("select /* $x /* $x */ $x */ $a /* $x", &["a"]),
            ("select 1 - $a / $b * $c", &["a", "b", "c"]),
            ("select $$ $x ' $$, $t$ $x $$ $u$ $t$, $a", &["a"]),
            ("select $1, $, $a", &["", "a"]),
            ("select b$x, _$x, b1$x$, 1$a", &["a"]),
            ("select '$x", &[]),
            ("select $t$ $x $", &[]),
        ] {
            assert_eq!(placeholders(text), names, "{text}");
        }
    }
}
