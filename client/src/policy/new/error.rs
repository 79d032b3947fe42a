//! Why no policy was written.

use std::io;

use mc2_protocol::policy::PolicyError;

use crate::exit::Exit;

/// Why no policy was made of the answers.
#[derive(Debug, thiserror::Error)]
pub enum NewPolicyError {
    /// Nobody can be asked.
    #[error(
        "a policy needs more answers, and there is no terminal to ask on; give {}",
        flags.join(", ")
    )]
    Missing {
        /// The flags that were not given.
        flags: Vec<String>,
    },
    /// An answer that means nothing.
    #[error("{flag}: {reason}")]
    Answer {
        /// The flag it stands for.
        flag: String,
        /// What was expected, and what was found.
        reason: String,
    },
    /// Nobody answers any more.
    #[error("the answers ended before {flag} was answered, so nothing was written")]
    Ended {
        /// The flag of the question.
        flag: String,
    },
    /// Answers that are each right and do not go together.
    #[error("the answers do not make a policy that holds, so nothing was written")]
    Together {
        /// What is wrong with what they make.
        source: Box<PolicyError>,
    },
    /// The terminal.
    #[error("cannot ask on this terminal")]
    Terminal(#[source] io::Error),
}

impl NewPolicyError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Together { .. } => Exit::PolicyRefused,
            _ => Exit::BadInput,
        }
    }
}
