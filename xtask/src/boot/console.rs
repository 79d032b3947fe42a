//! What a machine says, line by line.

use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use super::PATIENCE;
use crate::process::{Failure, Outcome};

/// What the machine says.
pub(super) struct Console {
    lines: Receiver<String>,
    said: std::cell::RefCell<Vec<String>>,
}

impl Console {
    pub(super) fn of(machine: &mut Child) -> Outcome<Self> {
        Ok(Self {
            lines: lines_of(machine)?,
            said: std::cell::RefCell::default(),
        })
    }

    /// What `wanted` finds in the first line in which it finds something.
    pub(super) fn until<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Outcome<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).map_err(|_| {
                Failure::new(format!(
                    "the machine ended, or said nothing in time; its last words:\n{}",
                    self.last_words()
                ))
            })?;
            let found = wanted(&line);
            self.said.borrow_mut().push(line);
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }

    fn last_words(&self) -> String {
        let said = self.said.borrow();
        said[said.len().saturating_sub(30)..].join("\n")
    }

    /// Fails where the machine said one of these.
    pub(super) fn never(&self, words: &[&str]) -> Outcome<()> {
        self.said.borrow_mut().extend(self.lines.try_iter());
        let said = self.said.borrow();
        let has = |line: &&String| words.iter().any(|words| line.contains(words));
        match said.iter().find(has) {
            Some(line) => Err(Failure::new(format!("the machine said: {line}"))),
            None => Ok(()),
        }
    }

    /// Fails where the machine did not say one of these.
    pub(super) fn said(&self, words: &[&str]) -> Outcome<()> {
        self.said.borrow_mut().extend(self.lines.try_iter());
        let said = self.said.borrow();
        let missing = |words: &&&str| !said.iter().any(|line| line.contains(**words));
        match words.iter().find(missing) {
            Some(words) => Err(Failure::new(format!("the machine did not say {words:?}"))),
            None => Ok(()),
        }
    }
}

pub(super) fn lines_of(process: &mut Child) -> Outcome<Receiver<String>> {
    let stdout = process.stdout.take().ok_or("no standard output")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        while stdout
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                break;
            }
            line.clear();
        }
    });
    Ok(lines)
}

/// A process that ends with this value.
pub(super) struct Ends(pub(super) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
