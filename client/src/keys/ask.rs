//! Asking a person for a passphrase or a PIN: on the terminal without echo, or in a file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write as _},
    path::Path,
};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use super::error::KeyError;

const MAX_LEN: usize = 1024;
const TERMINAL: &str = "/dev/tty";

/// What is asked for, and where it may stand instead. It is never an argument: others on the machine
/// see those.
pub struct Question<'a> {
    /// `the passphrase`, `the PIN`.
    pub what: &'static str,
    /// The argument that names the file, for messages.
    pub flag: &'static str,
    /// A file whose first line it is, `-` for standard input, `/dev/fd/3` for a descriptor.
    pub file: Option<&'a Path>,
}

impl Question<'_> {
    /// What somebody chose earlier.
    ///
    /// # Errors
    /// [`KeyError`]: nobody to ask, or the system's.
    pub fn ask(&self) -> Result<Zeroizing<String>, KeyError> {
        match self.file {
            Some(file) => self.read(file),
            None => self.typed(self.what),
        }
    }

    /// What somebody chooses now: on a terminal it is asked for twice.
    ///
    /// # Errors
    /// As [`ask`](Self::ask), and where the two differ.
    pub fn choose(&self) -> Result<Zeroizing<String>, KeyError> {
        if let Some(file) = self.file {
            return self.read(file);
        }
        let first = self.typed(self.what)?;
        let second = self.typed(&format!("{} again", self.what))?;
        if *first != *second {
            return Err(KeyError::Differs { what: self.what });
        }
        Ok(first)
    }

    fn read(&self, file: &Path) -> Result<Zeroizing<String>, KeyError> {
        let failed = |source| KeyError::Read {
            what: self.what,
            from: file.display().to_string(),
            source,
        };
        let line = if file == Path::new("-") {
            first_line(&mut io::stdin().lock())
        } else {
            File::open(file).and_then(|mut file| first_line(&mut file))
        };
        line.map_err(failed)
    }

    fn typed(&self, prompt: &str) -> Result<Zeroizing<String>, KeyError> {
        let opened = OpenOptions::new().read(true).write(true).open(TERMINAL);
        let Ok(mut terminal) = opened else {
            return Err(KeyError::NoTerminal {
                what: self.what,
                flag: self.flag,
            });
        };
        let failed = |source| KeyError::Read {
            what: self.what,
            from: "the terminal".to_owned(),
            source,
        };
        write!(terminal, "{prompt}: ")
            .and_then(|()| terminal.flush())
            .map_err(failed)?;
        let typed = Silent::new(terminal)
            .map_err(|error| failed(error.into()))?
            .line()
            .map_err(failed)?;
        Ok(typed)
    }
}

/// The first line, without its end; a byte at a time, for what follows is another reader's.
fn first_line(from: &mut impl Read) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LEN));
    let mut byte = Zeroizing::new([0]);
    while from.read(byte.as_mut_slice())? == 1 && byte[0] != b'\n' {
        push(&mut line, byte[0])?;
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    text(&line)
}

/// Within its capacity, so that no copy of it is left behind by growing.
fn push(line: &mut Vec<u8>, byte: u8) -> io::Result<()> {
    if line.len() == MAX_LEN {
        let text = format!("it is longer than {MAX_LEN} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    line.push(byte);
    Ok(())
}

fn text(line: &[u8]) -> io::Result<Zeroizing<String>> {
    let text = std::str::from_utf8(line)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A terminal that shows nothing of what is typed until this is dropped.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    /// Signals are keys too meanwhile: a process that one ended would leave the terminal silent.
    fn new(terminal: File) -> rustix::io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes &=
            !(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }

    fn line(mut self) -> io::Result<Zeroizing<String>> {
        const INTERRUPT: u8 = 0x03;
        const END: u8 = 0x04;
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LEN));
        let mut byte = Zeroizing::new([0]);
        loop {
            let read = self.terminal.read(byte.as_mut_slice())?;
            match (read, byte[0]) {
                (0, _) | (_, b'\n' | b'\r' | END) => return text(&line),
                (_, INTERRUPT) => return Err(io::ErrorKind::Interrupted.into()),
                (_, 0x08 | 0x7f) => erase(&mut line),
                (_, byte) => push(&mut line, byte)?,
            }
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        let _ = self.terminal.write_all(b"\n");
    }
}

/// Takes the last character off.
fn erase(line: &mut Vec<u8>) {
    while let Some(byte) = line.pop() {
        if byte & 0xc0 != 0x80 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(file: &Path) -> Question<'_> {
        Question {
            what: "the passphrase",
            flag: "--passphrase-file",
            file: Some(file),
        }
    }

    #[test]
    fn the_first_line_of_a_file_is_taken_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        for (bytes, expected) in [
            ("correct horse \n", "correct horse "),
            ("correct\r\nhorse\n", "correct"),
            ("  ümlaut", "  ümlaut"),
            ("", ""),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(*question(&path).ask().unwrap(), expected);
            assert_eq!(*question(&path).choose().unwrap(), expected);
        }
    }

    #[test]
    fn what_cannot_be_one_is_refused_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        for bytes in [vec![b'x'; MAX_LEN + 1], b"secret\xff\n".to_vec()] {
            std::fs::write(&path, bytes).unwrap();
            let error = question(&path).ask().unwrap_err();
            assert!(matches!(error, KeyError::Read { .. }));
            assert!(!crate::cli::chain(&error).contains("secret\u{fffd}"));
        }
        assert!(question(&folder.path().join("none")).ask().is_err());
    }

    #[test]
    fn erasing_takes_a_whole_character() {
        let mut line = "aü".as_bytes().to_vec();
        erase(&mut line);
        assert_eq!(line, b"a");
        erase(&mut line);
        erase(&mut line);
        assert!(line.is_empty());
    }
}
