//! Asking a person whether they mean what they were shown.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use mc2_protocol::Digest;

/// What is shown, and how whoever is not at a terminal says that they mean it.
pub struct Shown<'a> {
    /// All of it, escaped.
    pub text: &'a str,
    /// Its digest.
    pub digest: Digest,
    /// The digest that was stated beforehand.
    pub stated: Option<Digest>,
    /// The option that states it.
    pub flag: &'static str,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// What was shown is not what was meant.
    #[error(
        "nothing was done: expected {expected}, the digest given with {flag}, found {found}, the \
         digest of what was shown"
    )]
    OtherDigest {
        /// What was stated.
        expected: Digest,
        /// What it is.
        found: Digest,
        /// How it was stated.
        flag: &'static str,
    },
    /// Nobody said yes, or nobody could be shown anything.
    #[error("nothing was done: it was not confirmed")]
    NotConfirmed,
    /// Nobody can be asked.
    #[error(
        "nothing was done: there is no terminal to ask at. Read what is shown above; if you mean it, \
         state its digest: {flag} {digest}"
    )]
    NobodyToAsk {
        /// The digest of what was shown.
        digest: Digest,
        /// How it is stated.
        flag: &'static str,
    },
}

impl Shown<'_> {
    /// Shows it on standard error, and asks whether it is meant, where its digest was not stated.
    ///
    /// # Errors
    /// [`ConfirmError`].
    pub fn confirm(&self) -> Result<(), ConfirmError> {
        let (digest, flag) = (self.digest, self.flag);
        // What is done was shown, or nothing is.
        let shown = write!(io::stderr(), "{}", self.text);
        shown.map_err(|_| ConfirmError::NotConfirmed)?;
        if let Some(stated) = self.stated {
            if stated == digest {
                return Ok(());
            }
            return Err(ConfirmError::OtherDigest {
                expected: stated,
                found: digest,
                flag,
            });
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(ConfirmError::NobodyToAsk { digest, flag });
        }
        let mut line = String::new();
        write!(io::stderr(), "Type yes to go on: ")
            .and_then(|()| io::stderr().flush())
            .and_then(|()| io::stdin().lock().read_line(&mut line))
            .map_err(|_| ConfirmError::NotConfirmed)?;
        match line.trim() {
            "yes" => Ok(()),
            _ => Err(ConfirmError::NotConfirmed),
        }
    }
}
