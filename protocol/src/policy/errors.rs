//! The policy's `errors`: what of its own words a guest whose run failed lets out.
//!
//! A component's words may quote values of the data it read. Who gets them is said under `error`,
//! `stdout` and `stderr`; how much of them there is to get is said here.

use std::borrow::Cow;

use super::{
    error::{PolicyError, Problem},
    reader::{Fields, Node},
};
use crate::Name;

const MAX_CODES: usize = 256;
const EXPECTED: &str = "what a failed run may say in the component's own words: errors = \"full\" \
                        (all of them), \"none\", or { codes = [\"bad-row\"] } (one code, an input's \
                        name and two numbers)";

/// What of a guest's own words a failed run of a job lets out, to those whom the policy names for
/// its streams.
///
/// ```
/// use mc2_protocol::policy::Errors;
///
/// let errors = Errors::Codes(vec!["bad-row".parse()?]);
/// let is_input = |name: &str| name == "orders";
/// assert_eq!(&*errors.passes(b"bad-row orders 17 4", is_input), b"bad-row orders 17 4");
/// // What is on further lines never does.
/// assert_eq!(&*errors.passes(b"bad-row 17\n`4711` is no day", is_input), b"bad-row 17");
/// assert_eq!(&*errors.passes(b"`4711` is no day", is_input), b"");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errors {
    /// All: its failure message, what it printed, and words beside the numbers of its progress.
    Full,
    /// Nothing; progress is numbers.
    None,
    /// The first line of its failure message where that is one of these codes, then at will the
    /// name of one of the step's inputs and up to two numbers of 32 bits; nothing else. Progress is
    /// numbers.
    Codes(Vec<Name>),
}

impl Errors {
    /// A lone party need not say it.
    pub(super) fn read(fields: &Fields<'_>, alone: bool) -> Result<Self, PolicyError> {
        let node = match fields.optional("errors") {
            Some(node) => node,
            None if alone => return Ok(Self::Full),
            None => fields.required("errors", EXPECTED)?,
        };
        match node.as_str() {
            Some("full") => Ok(Self::Full),
            Some("none") => Ok(Self::None),
            Some(other) => Err(node.error(Problem::value(EXPECTED, other))),
            None if node.is_table() => read_codes(&node).map(Self::Codes),
            None => Err(node.wrong_type(EXPECTED)),
        }
    }

    /// Whether everything passes: what a failed run printed, and the words of its progress.
    pub fn are_full(&self) -> bool {
        *self == Self::Full
    }

    /// What passes of a guest's failure message. `is_input` says which names are those of the
    /// step's inputs.
    pub fn passes<'t>(&self, text: &'t [u8], is_input: impl Fn(&str) -> bool) -> Cow<'t, [u8]> {
        match self {
            Self::Full => text.into(),
            Self::None => Cow::default(),
            Self::Codes(codes) => coded(codes, text, is_input).map_or_else(Cow::default, |line| {
                // Made anew of what was understood, so that it has one spelling.
                line.into_bytes().into()
            }),
        }
    }

    /// How many bits a failed run of a step with so many inputs can say at most through what passes
    /// of its message: the logarithm of how many there are, rounded up. `None` where nothing bounds
    /// it.
    pub fn bits(&self, inputs: usize) -> Option<u32> {
        let messages = match self {
            Self::Full => return None,
            Self::None => 1,
            Self::Codes(codes) => {
                let numbers = 1 + (1 << 32) + (1_u128 << 64);
                1 + codes.len() as u128 * (1 + inputs as u128) * numbers
            }
        };
        Some(u128::BITS - (messages - 1).leading_zeros())
    }
}

/// The first line of `text`, where it is a code and what may follow one.
fn coded(codes: &[Name], text: &[u8], is_input: impl Fn(&str) -> bool) -> Option<String> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    let mut words = str::from_utf8(line).ok()?.split(' ').peekable();
    let code = words.next()?;
    let code = codes.iter().find(|known| known.as_str() == code)?;
    let mut said = code.to_string();
    let mut say = |word: &str| {
        said.push(' ');
        said.push_str(word);
    };
    if let Some(input) = words.next_if(|word| is_input(word)) {
        say(input);
    }
    for word in words.by_ref().take(2) {
        say(&word.parse::<u32>().ok()?.to_string());
    }
    words.next().is_none().then_some(said)
}

fn read_codes(node: &Node<'_>) -> Result<Vec<Name>, PolicyError> {
    const CODES: &str = "the codes that may pass, as in { codes = [\"bad-row\"] }; write \
                         errors = \"none\" where none may";
    let fields = node.table(&["codes"])?;
    let mut codes: Vec<Name> = Vec::new();
    for entry in fields.required_list("codes", MAX_CODES, CODES)? {
        let code: Name = entry.checked()?;
        if codes.contains(&code) {
            return Err(entry.error(Problem::repeated("code", code)));
        }
        codes.push(code);
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes() -> Errors {
        Errors::Codes(vec!["bad-row".parse().unwrap(), "no-rows".parse().unwrap()])
    }

    fn passed(text: &str) -> String {
        let inputs = ["orders", "7"];
        let passed = codes()
            .passes(text.as_bytes(), |name| inputs.contains(&name))
            .into_owned();
        String::from_utf8(passed).unwrap()
    }

    #[test]
    fn a_code_an_input_and_two_numbers_pass() {
        for text in [
            "bad-row",
            "no-rows orders",
            "bad-row 17",
            "bad-row 17 4294967295",
            "bad-row orders 0",
            "bad-row orders 17 4",
            // An input may be called like a number.
            "bad-row 7 8 9",
        ] {
            assert_eq!(passed(text), text);
        }
        assert_eq!(passed("bad-row orders 007 +4"), "bad-row orders 7 4");
        assert_eq!(passed("bad-row 17\nvalue 4711 of row 17\n"), "bad-row 17");
    }

    #[test]
    fn nothing_else_does() {
        for text in [
            "",
            "\nbad-row",
            " bad-row",
            "bad-row ",
            "bad-row  17",
            "bad-row\r\n",
            "Bad-row",
            "bad-rows",
            "bad-row lineitem",
            "bad-row orders orders",
            "bad-row 17 orders",
            "bad-row 1 2 3",
            "bad-row 7 1 2 3",
            "bad-row -1",
            "bad-row 1.5",
            "bad-row 4294967296",
            "bad-row 1\t2",
            "4711",
        ] {
            assert_eq!(passed(text), "", "{text:?}");
        }
        let not_text = codes().passes(b"bad-row \xff", |_| true).into_owned();
        assert_eq!(not_text, b"");
        assert_eq!(&*Errors::None.passes(b"bad-row", |_| true), b"");
        assert_eq!(
            &*Errors::Full.passes(b"any\nwords", |_| false),
            b"any\nwords"
        );
    }
}
