//! The sequence numbers of one sender in one session, over all processes of that sender.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::files::{FileError, failed, lock};

/// As many digits as any number has: one write replaces the last whole.
const DIGITS: usize = 20;

/// The last number that was used, in a file that is locked while the next is taken.
///
/// ```
/// use mc2_client::state::State;
/// # use mc2_protocol::Digest;
/// # let folder = tempfile::tempdir()?;
/// # let state = State::at(folder.path().join("mc2"));
/// # let (session, card) = (Digest::of(b"session"), Digest::of(b"card"));
/// let numbers = state.sequence(&session, &card)?;
/// let one = numbers.next()?;
/// // Another process of the same sender.
/// assert!(state.sequence(&session, &card)?.next()? > one);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sequence {
    path: PathBuf,
}

impl Sequence {
    pub(super) const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// A number that no process of this sender used, and more than all of those.
    ///
    /// # Errors
    /// The system's.
    pub fn next(&self) -> Result<u64, FileError> {
        let file = lock(&self.path)?;
        let last = last(&file).map_err(failed("read", &self.path))?;
        let next = after(last);
        file.write_all_at(format!("{next:0DIGITS$}").as_bytes(), 0)
            .map_err(failed("write", &self.path))?;
        Ok(next)
    }
}

/// The number after `last`: sixteenths of a second since 1970, where those have gone on.
///
/// So a folder that was lost or put back falls behind none of the 1,024 numbers that an enclave
/// remembers of it.
pub fn after(last: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(1, |since| (since.as_millis() * 16 / 1000) as u64);
    now.max(last.saturating_add(1))
}

/// The last number; none in a file that is new, or that a power cut left empty.
fn last(file: &File) -> io::Result<u64> {
    let mut digits = [0; DIGITS];
    match file.read_exact_at(&mut digits, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
        read => read?,
    }
    let text = std::str::from_utf8(&digits).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let text = "it holds no number; remove it if this machine's clock is right";
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn processes_at_once_never_take_the_same_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        let taken: Vec<u64> = std::thread::scope(|scope| {
            let take = || -> Vec<u64> {
                let numbers = Sequence::at(path.clone());
                (0..200).map(|_| numbers.next().unwrap()).collect()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        let unique: BTreeSet<_> = taken.iter().collect();
        assert_eq!(unique.len(), 1600);
    }

    #[test]
    fn a_clock_that_is_set_back_repeats_no_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        let ahead = u64::MAX / 2;
        fs::write(&path, format!("{ahead:020}")).unwrap();
        let numbers = Sequence::at(path.clone());
        assert_eq!(numbers.next().unwrap(), ahead + 1);
        fs::write(&path, "twenty letters of it").unwrap();
        assert!(numbers.next().is_err());
    }
}
