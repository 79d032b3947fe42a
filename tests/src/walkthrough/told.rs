//! What a page says is printed, held against what is.
//!
//! `…` stands for anything, and alone on a line for any number of lines. Behind four hexadecimal
//! digits or more (`5f1c…`, `8d1f 02c9 …`) it stands for one digest or fingerprint that begins
//! otherwise in every run, and for the same one wherever the page has the same four digits.

use std::collections::BTreeMap;

const ANY: char = '…';
const GROUP: usize = 4;
/// What is printed of a digest at least.
const SHORTEST: usize = 8;

/// What the digits on the page stand for so far: without blanks, the longest that was printed.
#[derive(Clone, Debug, Default)]
pub(super) struct Bound(BTreeMap<String, String>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'p> {
    Literal(&'p str),
    Any,
    /// The first four digits, and whether they stand in groups.
    Digits(&'p str, bool),
}

impl Bound {
    /// The line with what its digits stand for in their place.
    ///
    /// # Errors
    /// Those that stand for nothing yet.
    pub(super) fn fill(&self, line: &str) -> Result<String, String> {
        let mut filled = String::new();
        for piece in pieces(line) {
            match piece {
                Piece::Literal(text) => filled.push_str(text),
                Piece::Any => return Err(ANY.to_string()),
                Piece::Digits(name, in_groups) => {
                    let value = self.0.get(name).ok_or_else(|| format!("{name}{ANY}"))?;
                    filled.push_str(&if in_groups {
                        grouped(value)
                    } else {
                        value.clone()
                    });
                }
            }
        }
        Ok(filled)
    }

    /// What the digits stand for once these lines were printed; nothing where the page says other
    /// ones.
    pub(super) fn reads(&self, page: &[String], printed: &[String]) -> Option<Self> {
        let Some((first, rest)) = page.split_first() else {
            return printed.is_empty().then(|| self.clone());
        };
        if first.chars().eq([ANY]) {
            return (0..=printed.len()).find_map(|skip| self.reads(rest, &printed[skip..]));
        }
        let (line, left) = printed.split_first()?;
        let bound = self.reads_line(&pieces(first), line)?;
        bound.reads(rest, left)
    }

    fn reads_line(&self, pieces: &[Piece<'_>], printed: &str) -> Option<Self> {
        let Some((piece, rest)) = pieces.split_first() else {
            return printed.is_empty().then(|| self.clone());
        };
        match piece {
            Piece::Literal(text) => self.reads_line(rest, printed.strip_prefix(text)?),
            Piece::Any => {
                let starts = printed.char_indices().map(|(at, _)| at);
                let mut starts = starts.chain([printed.len()]);
                starts.find_map(|at| self.reads_line(rest, &printed[at..]))
            }
            Piece::Digits(name, in_groups) => {
                let (digits, left) = printed.split_at(run(printed, *in_groups));
                self.with(name, &digits.replace(' ', ""))?
                    .reads_line(rest, left)
            }
        }
    }

    /// With this, too, where it is no other than before.
    fn with(&self, name: &str, digits: &str) -> Option<Self> {
        if digits.len() < SHORTEST {
            return None;
        }
        let mut bound = self.clone();
        let known = bound.0.entry(name.to_owned()).or_default();
        if digits.starts_with(known.as_str()) {
            digits.clone_into(known);
        }
        known.starts_with(digits).then_some(bound)
    }
}

fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find(ANY) {
        let (before, after) = (&rest[..at], &rest[at + ANY.len_utf8()..]);
        let digits = digits_before(before);
        let (text, piece) = match digits {
            Some(begin) => {
                let digits = &before[begin..];
                let piece = Piece::Digits(&digits[..GROUP], digits.contains(' '));
                (&before[..begin], piece)
            }
            None => (before, Piece::Any),
        };
        if !text.is_empty() {
            pieces.push(Piece::Literal(text));
        }
        pieces.push(piece);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
    pieces
}

/// Where the digits begin that a text ends with: `5f1c`, or groups of four and a blank.
fn digits_before(text: &str) -> Option<usize> {
    let bare = text.strip_suffix(' ');
    let end = bare.unwrap_or(text);
    let count = end.bytes().rev().take_while(|byte| is_digit(*byte)).count();
    let mut begin = end.len() - count;
    if bare.is_some() {
        if count != GROUP {
            return None;
        }
        while let Some(more) = end[..begin].strip_suffix(' ')
            && more.len() >= GROUP
            && more.as_bytes()[more.len() - GROUP..]
                .iter()
                .all(|byte| is_digit(*byte))
        {
            begin = more.len() - GROUP;
        }
    }
    let stands_alone = end[..begin]
        .chars()
        .next_back()
        .is_none_or(|before| !before.is_alphanumeric() && before != '.');
    (count >= GROUP && stands_alone).then_some(begin)
}

/// How far the digits go that a text begins with.
fn run(text: &str, in_groups: bool) -> usize {
    let bytes = text.as_bytes();
    if !in_groups {
        return bytes.iter().take_while(|byte| is_digit(**byte)).count();
    }
    let group = |at: usize| {
        bytes
            .get(at..at + GROUP)
            .is_some_and(|group| group.iter().all(|byte| is_digit(*byte)))
    };
    let mut end = 0;
    while group(if end == 0 { 0 } else { end + 1 }) && (end == 0 || bytes[end] == b' ') {
        end += if end == 0 { GROUP } else { GROUP + 1 };
    }
    end
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % GROUP == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn digits_stand_for_one_digest_on_the_whole_page() {
        let read =
            |bound: &Bound, page: &str, printed: &str| bound.reads(&lines(page), &lines(printed));
        let none = Bound::default();
        let bound = read(
            &none,
            "card  8d1f 02c9 …\n…\nobject     5f1c…  x",
            "card  aaaa bbbb cccc\n\nsomething\nobject     0123456789abcdef  x",
        );
        let bound = bound.expect("the same");
        assert_eq!(
            bound.fill("a \"8d1f 02c9 …\" 5f1c…,8d1f…").unwrap(),
            "a \"aaaa bbbb cccc\" 0123456789abcdef,aaaabbbbcccc"
        );
        assert!(bound.fill("77aa…").is_err());
        for (page, printed, same) in [
            ("of 5f1c….", "of 01234567.", true),
            ("of 5f1c…", "of 01234568", false),
            ("of 5f1c…", "of 0123", false),
            ("of 8d1f…", "of aaaabbbb", true),
            ("p …/5f1c….json", "p /a/b/01234567.json", true),
            ("0.99…", "0.9912", true),
            ("0.99…", "0.8912", false),
            ("a\n…", "a", true),
            ("a\n…", "b\na", false),
            ("a", "a\nb", false),
        ] {
            assert_eq!(
                read(&bound, page, printed).is_some(),
                same,
                "{page}: {printed}"
            );
        }
    }
}
