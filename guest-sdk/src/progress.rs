//! How far the job is, for whom the policy lets know.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::root::open_sink;

/// The least time between two events; a finished job is always told.
const INTERVAL: Duration = Duration::from_millis(100);
/// The longest message, in bytes.
const MAX_MESSAGE: usize = 200;

/// Writes `/run/mc2/progress`, or nothing where there is no such file.
#[derive(Debug)]
pub(crate) struct Progress {
    file: Option<File>,
    last: Option<Instant>,
}

impl Progress {
    pub(crate) fn open_at(root: &Path) -> Self {
        Self {
            file: open_sink(&root.join("run/mc2/progress")).ok(),
            last: None,
        }
    }

    pub(crate) fn report(&mut self, fraction: f64, message: &str) {
        let Some(file) = &mut self.file else { return };
        let fraction = if fraction.is_nan() {
            0.0
        } else {
            fraction.clamp(0.0, 1.0)
        };
        let recent = self.last.is_some_and(|last| last.elapsed() < INTERVAL);
        if recent && fraction < 1.0 {
            return;
        }
        self.last = Some(Instant::now());
        // One event is one write of one line. A refused one (over budget) is no reason to fail.
        let _ = file.write_all(line(fraction, message).as_bytes());
    }
}

fn line(fraction: f64, message: &str) -> String {
    let mut line = format!("{fraction:.4} ");
    for character in message.chars() {
        if line.len() + character.len_utf8() > MAX_MESSAGE {
            break;
        }
        line.push(if character.is_control() {
            ' '
        } else {
            character
        });
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_however_long_and_odd_the_message() {
        assert_eq!(line(0.42, "joined orders"), "0.4200 joined orders\n");
        assert_eq!(line(1.0, "a\nb\x1b[31m"), "1.0000 a b [31m\n");
        assert!(line(0.0, &"ü".repeat(1_000)).len() <= MAX_MESSAGE + 1);
    }
}
