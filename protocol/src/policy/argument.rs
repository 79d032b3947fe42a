//! What a guest's command line may be: each argument is matched whole, as bytes.

use std::fmt;

use super::{
    error::{PolicyError, Problem, shortened},
    reader::Node,
    sql::FixedSql,
};

/// Most arguments a step may have, and values one argument may be chosen from.
pub const MAX_ARGUMENTS: usize = 1024;

const EXPECTED: &str = "a list of patterns such as args = [\"train\", \"--rounds\", { number = \
                        [1, 500] }], args = [] for no arguments, or args = \"any\"";

/// The arguments a step accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Any number of any arguments.
    Any,
    /// Exactly what these patterns stand for, in order: one argument each, but for a fixed query.
    Listed(Vec<Pattern>),
}

/// What one argument may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// These bytes.
    Literal(String),
    /// A number in its one spelling.
    Number(NumberRange),
    /// One of these strings.
    OneOf(Vec<String>),
    /// Any one argument that does not start with `-`.
    Any,
    /// A query whose text is fixed but for typed values; it stands for several arguments.
    FixedSql(FixedSql),
}

/// Numbers from one bound to the other, both included.
///
/// An argument has the one canonical spelling: no sign but `-`, no leading zeros, no exponent, no
/// `-0`; a fraction only where a bound is written with one, and then without trailing zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberRange {
    least: Decimal,
    most: Decimal,
    fractions: bool,
}

/// A decimal number in units of 10⁻¹⁸, less than 10¹⁸ in magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Decimal(i128);

/// How a command line differs from what a policy allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// It should have so many arguments.
    Count(usize),
    /// The argument of this number, from 0, should be that.
    Argument(usize, String),
}

impl Arguments {
    pub(super) const EXPECTED: &str = EXPECTED;

    /// Holds a command line against it.
    pub(super) fn check(&self, arguments: &[String]) -> Result<(), Mismatch> {
        let Self::Listed(patterns) = self else {
            return Ok(());
        };
        let expected = patterns.iter().map(Pattern::arguments).sum();
        if arguments.len() != expected {
            return Err(Mismatch::Count(expected));
        }
        let mut before = 0;
        for pattern in patterns {
            let own = &arguments[before..before + pattern.arguments()];
            pattern
                .check(own)
                .map_err(|(at, expected)| Mismatch::Argument(before + at, expected))?;
            before += own.len();
        }
        Ok(())
    }

    pub(super) fn read(node: &Node<'_>) -> Result<Self, PolicyError> {
        if let Some(text) = node.as_str() {
            if text == "any" {
                return Ok(Self::Any);
            }
            return Err(node.error(Problem::value(EXPECTED, text)));
        }
        let patterns: Result<_, _> = node
            .array(MAX_ARGUMENTS)?
            .iter()
            .map(Pattern::read)
            .collect();
        Ok(Self::Listed(patterns?))
    }
}

impl Pattern {
    /// How many arguments it stands for.
    pub const fn arguments(&self) -> usize {
        match self {
            Self::FixedSql(sql) => sql.arguments(),
            Self::Literal(_) | Self::Number(_) | Self::OneOf(_) | Self::Any => 1,
        }
    }

    /// Holds so many arguments, each of them whole, against it; says which differs from what.
    fn check(&self, arguments: &[String]) -> Result<(), (usize, String)> {
        let all = |allowed: &dyn Fn(&str) -> bool| arguments.iter().all(|one| allowed(one));
        let allowed = match self {
            Self::FixedSql(sql) => return sql.check(arguments),
            Self::Literal(text) => all(&|argument| argument == text),
            Self::Number(range) => all(&|argument| range.contains(argument)),
            Self::OneOf(values) => all(&|argument| values.iter().any(|value| value == argument)),
            Self::Any => all(&|argument| !argument.starts_with('-')),
        };
        if allowed {
            Ok(())
        } else {
            Err((0, self.to_string()))
        }
    }

    /// How many arguments match; `None` where they are not counted: any text, fractions, values of
    /// a query.
    pub fn choices(&self) -> Option<u128> {
        match self {
            Self::Literal(_) => Some(1),
            Self::Number(range) => range.integers(),
            Self::OneOf(values) => Some(values.len() as u128),
            Self::Any => None,
            Self::FixedSql(sql) if sql.params.is_empty() => Some(1),
            Self::FixedSql(_) => None,
        }
    }

    fn read(node: &Node<'_>) -> Result<Self, PolicyError> {
        if let Some(text) = node.as_str() {
            return plain(node, text).map(Self::Literal);
        }
        if !node.is_table() {
            return Err(node.wrong_type(
                "a literal argument (quote numbers), or one of { number = [1, 9] }, \
                 { one_of = [\"a\"] }, { fixed_sql = \"…\", params = {…} }, { any = true }",
            ));
        }
        let fields = node.table(&["number", "one_of", "any", "fixed_sql", "params"])?;
        let number = fields.optional("number");
        let one_of = fields.optional("one_of");
        let any = fields.optional("any");
        let sql = fields.optional("fixed_sql");
        let params = fields.optional("params");
        match (number, one_of, any, sql, params) {
            (Some(number), None, None, None, None) => NumberRange::read(&number).map(Self::Number),
            (None, Some(one_of), None, None, None) => read_one_of(&one_of),
            (None, None, Some(any), None, None) if any.boolean()? => Ok(Self::Any),
            (None, None, None, Some(sql), params) => {
                FixedSql::read(&sql, params.as_ref()).map(Self::FixedSql)
            }
            _ => Err(node.error(Problem::Contradiction(
                "a pattern is exactly one of { number = [1, 9] }, { one_of = [\"a\"] }, \
                 { fixed_sql = \"…\", params = {…} }, { any = true }",
            ))),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => write!(f, "{:?}", shortened(text)),
            Self::Number(range) => range.fmt(f),
            Self::OneOf(values) => {
                let values: Vec<String> = values
                    .iter()
                    .take(20)
                    .map(|value| format!("{:?}", shortened(value)))
                    .collect();
                write!(f, "one of {}", values.join(", "))
            }
            Self::Any => f.write_str("one argument that does not start with -"),
            Self::FixedSql(sql) => sql.fmt(f),
        }
    }
}

impl NumberRange {
    /// Whether `argument` is a canonical number within the range.
    pub fn contains(&self, argument: &str) -> bool {
        if !self.fractions && argument.contains('.') {
            return false;
        }
        Decimal::canonical(argument)
            .is_some_and(|number| self.least <= number && number <= self.most)
    }

    /// How many integers it has; `None` where fractions are numbers too.
    fn integers(&self) -> Option<u128> {
        if self.fractions {
            return None;
        }
        let units = self.most.0.abs_diff(self.least.0);
        Some(units / Decimal::ONE.unsigned_abs() + 1)
    }

    fn read(node: &Node<'_>) -> Result<Self, PolicyError> {
        const EXPECTED: &str = "the least and the most number, as in { number = [1, 500] }";
        let bounds = node.array(2)?;
        let [least, most] = bounds.as_slice() else {
            return Err(node.error(Problem::Empty { expected: EXPECTED }));
        };
        let mut fractions = false;
        let mut bound = |node: &Node<'_>| {
            let (text, integer) = node.number()?;
            fractions |= !integer;
            // TOML writes a whole number as `1.0` where fractions are meant.
            let short = match text.split_once('.') {
                Some(_) => text.trim_end_matches('0').trim_end_matches('.'),
                None => text,
            };
            Decimal::canonical(short).ok_or_else(|| {
                node.error(Problem::value(
                    "a number without exponent, at most 18 digits before and after the point",
                    text,
                ))
            })
        };
        let (least, most) = (bound(least)?, bound(most)?);
        if least > most {
            return Err(node.error(Problem::Contradiction(
                "the first bound is larger than the second: swap them",
            )));
        }
        Ok(Self {
            least,
            most,
            fractions,
        })
    }
}

impl fmt::Display for NumberRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.fractions {
            "a number"
        } else {
            "an integer"
        };
        write!(
            f,
            "{kind} from {} to {} in its plain spelling",
            self.least, self.most
        )
    }
}

impl Decimal {
    const DIGITS: usize = 18;
    const ONE: i128 = 1_000_000_000_000_000_000;

    /// Reads the one canonical spelling of a number.
    fn canonical(text: &str) -> Option<Self> {
        let (negative, magnitude) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match magnitude.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (magnitude, ""),
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let valid = digits(whole)
            && digits(fraction)
            && (1..=Self::DIGITS).contains(&whole.len())
            && fraction.len() <= Self::DIGITS
            && (whole == "0" || !whole.starts_with('0'))
            && !fraction.ends_with('0');
        if !valid {
            return None;
        }
        let padded = format!("{whole}{fraction:0<width$}", width = Self::DIGITS);
        let value: i128 = padded.parse().ok()?;
        if negative && value == 0 {
            return None;
        }
        Some(Self(if negative { -value } else { value }))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.abs();
        let fraction = format!("{:018}", magnitude % Self::ONE);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{}{point}{fraction}", magnitude / Self::ONE)
    }
}

/// Whether this is a number in its one spelling.
pub(super) fn is_number(text: &str) -> bool {
    Decimal::canonical(text).is_some()
}

fn read_one_of(node: &Node<'_>) -> Result<Pattern, PolicyError> {
    const EXPECTED: &str = "the values to choose from, as in { one_of = [\"a\", \"b\"] }";
    let mut values: Vec<String> = Vec::new();
    for entry in node.filled_array(MAX_ARGUMENTS, EXPECTED)? {
        let value = plain(&entry, entry.string()?)?;
        if values.contains(&value) {
            return Err(entry.error(Problem::repeated("value", value)));
        }
        values.push(value);
    }
    Ok(Pattern::OneOf(values))
}

/// An argument a command line can carry.
fn plain(node: &Node<'_>, text: &str) -> Result<String, PolicyError> {
    if text.contains('\0') {
        return Err(node.error(Problem::value("an argument without NUL bytes", text)));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(least: &str, most: &str, fractions: bool) -> NumberRange {
        NumberRange {
            least: Decimal::canonical(least).unwrap(),
            most: Decimal::canonical(most).unwrap(),
            fractions,
        }
    }

    #[test]
    fn a_number_has_one_spelling_and_stays_in_its_range() {
        let rounds = range("1", "500", false);
        for good in ["1", "7", "500"] {
            assert!(rounds.contains(good), "{good:?}");
        }
        for bad in [
            "",
            "0",
            "501",
            "1e2",
            "+1",
            "01",
            " 1",
            "1 ",
            "-0",
            "-1",
            "1.0",
            "1.5",
            "0x10",
            "1_0",
            "١",
            "1\n",
            "--output=x",
            "99999999999999999999999999999999999999999",
        ] {
            assert!(!rounds.contains(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_fraction_is_a_number_only_where_a_bound_has_one() {
        let eta = range("0.01", "1", true);
        for good in ["0.01", "0.3", "1"] {
            assert!(eta.contains(good), "{good:?}");
        }
        for bad in [
            "0.30",
            "1.0",
            ".3",
            "0.",
            "0.009",
            "1.000000000000000001",
            "0.3.1",
            "3e-1",
        ] {
            assert!(!eta.contains(bad), "{bad:?}");
        }
        assert_eq!(
            eta.to_string(),
            "a number from 0.01 to 1 in its plain spelling"
        );
    }

    #[test]
    fn a_minus_sign_is_a_number_only_below_zero() {
        let shift = range("-3", "3", false);
        assert!(shift.contains("-3") && shift.contains("0"));
        assert!(!shift.contains("-0") && !shift.contains("-4") && !shift.contains("--3"));
        assert!(!range("0", "3", false).contains("-1"));
    }

    #[test]
    fn what_matches_is_counted_where_it_can_be() {
        let number = |least, most, fractions| Pattern::Number(range(least, most, fractions));
        let values = vec!["a".to_owned(), "b".to_owned()];
        for (pattern, choices) in [
            (Pattern::Literal("train".to_owned()), Some(1)),
            (number("1", "500", false), Some(500)),
            (number("-3", "3", false), Some(7)),
            (number("0", "1", true), None),
            (Pattern::OneOf(values), Some(2)),
            (Pattern::Any, None),
        ] {
            assert_eq!(pattern.choices(), choices, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_decimal_is_written_as_it_is_read(text in "-?[0-9]{1,6}(\\.[0-9]{1,6})?") {
            if let Some(number) = Decimal::canonical(&text) {
                prop_assert_eq!(number.to_string(), text);
            }
        }

        #[test]
        fn whole_numbers_match_as_integers_do(low in -99i64..99, width in 0i64..99, n in -300i64..300) {
            let range = range(&low.to_string(), &(low + width).to_string(), false);
            prop_assert_eq!(range.contains(&n.to_string()), (low..=low + width).contains(&n));
        }
    }
}
