//! Text from outside on a terminal: nothing in it controls the terminal or hides from the eye.

use std::{
    error::Error,
    io::{self, IsTerminal, Read, Write},
};

/// Copies a guest's bytes to standard output; on a terminal they lose their control characters.
///
/// # Errors
/// The system's; a reader that went away is none.
pub fn to_stdout(from: &mut impl Read) -> io::Result<()> {
    let stdout = io::stdout();
    let clean = stdout.is_terminal();
    quiet(copy(from, &mut stdout.lock(), clean))
}

/// Copies a guest's bytes to standard error, likewise.
///
/// # Errors
/// As [`to_stdout`].
pub fn to_stderr(bytes: &[u8]) -> io::Result<()> {
    let stderr = io::stderr();
    let clean = stderr.is_terminal();
    quiet(copy(&mut &*bytes, &mut stderr.lock(), clean))
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}

/// An error with all its causes on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        // Some errors repeat their cause.
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

/// Names one after another.
pub(crate) fn listed<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|one| one.to_string()).collect();
    values.join(", ")
}

/// Somebody else's text in quotes, all of it on one line, so that two texts that differ look
/// different: what has no shape, or turns the direction of reading, is spelt out, and letters
/// beyond ASCII are spelt out a second time.
///
/// ```
/// use mc2_client::terminal::quoted;
///
/// // It would turn the direction of reading.
/// assert_eq!(quoted("a\u{202e}b"), r#""a\u{202e}b""#);
/// ```
pub fn quoted(text: &str) -> String {
    let spelt = |ascii: bool| -> String {
        let mut out = String::from("\"");
        for c in text.chars() {
            match c {
                // Needs no escape within double quotes.
                '\'' => out.push(c),
                c if hides(c) || (ascii && !c.is_ascii()) => out.extend(c.escape_unicode()),
                c => out.extend(c.escape_debug()),
            }
        }
        out.push('"');
        out
    };
    let shown = spelt(false);
    if shown.is_ascii() {
        return shown;
    }
    format!("{shown} (in ASCII {})", spelt(true))
}

/// Text from outside without control characters, or others that hide something.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| !c.is_control() && !hides(c);
    text.chars()
        .map(|c| if shown(c) { c } else { ' ' })
        .collect()
}

/// Characters the eye does not see: they have no shape, or turn the direction of reading.
const fn hides(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{8e2}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn quiet(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn copy(from: &mut impl Read, to: &mut impl Write, clean: bool) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut cleaner = Cleaner::default();
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if clean {
            to.write_all(cleaner.clean(&buffer[..read]).as_bytes())?;
        } else {
            to.write_all(&buffer[..read])?;
        }
    }
    if clean {
        to.write_all(cleaner.finish().as_bytes())?;
    }
    to.flush()
}

/// Takes control characters out of UTF-8 that comes in pieces. Line ends and tabs stay; what is
/// not UTF-8 becomes U+FFFD.
#[derive(Default)]
struct Cleaner(Vec<u8>);

impl Cleaner {
    fn clean(&mut self, bytes: &[u8]) -> String {
        self.0.extend_from_slice(bytes);
        // At most the last three bytes can be the start of a character.
        let incomplete = (1..=3.min(self.0.len())).find(|back| {
            let tail = &self.0[self.0.len() - back..];
            std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none())
                && error_free_start(tail)
        });
        let whole = self.0.len() - incomplete.unwrap_or(0);
        let text = shown(&String::from_utf8_lossy(&self.0[..whole]));
        self.0.drain(..whole);
        text
    }

    fn finish(self) -> String {
        shown(&String::from_utf8_lossy(&self.0))
    }
}

/// Whether the bytes begin with the first byte of a character.
fn error_free_start(tail: &[u8]) -> bool {
    tail.first().is_some_and(|byte| *byte >= 0xc0)
}

/// Text without control characters but line ends and tabs.
pub fn shown(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_a_terminal_and_characters_stay_whole() {
        let text = "a\u{1b}[31mä\u{9b}0m€\r\n\tz";
        for piece in 1..8 {
            let mut cleaner = Cleaner::default();
            let mut out = String::new();
            for bytes in text.as_bytes().chunks(piece) {
                out.push_str(&cleaner.clean(bytes));
            }
            out.push_str(&cleaner.finish());
            assert_eq!(out, "a[31mä0m€\n\tz", "{piece}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_not_stay_behind() {
        let mut cleaner = Cleaner::default();
        let out = cleaner.clean(&[b'a', 0xff, b'b', 0xe2]);
        assert_eq!(out, "a\u{fffd}b");
        assert_eq!(cleaner.finish(), "\u{fffd}");
    }
}
