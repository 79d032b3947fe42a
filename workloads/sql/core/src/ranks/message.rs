//! What instances tell each other beside rows.

/// Of one run of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// To the first: this instance has planned the statement, and its plan has this digest; none
    /// where it cannot be planned.
    Planned(Option<u64>),
    /// From the first: all run it.
    Together,
    /// From the first: it runs it alone.
    Alone,
    /// To the first: this instance's part failed.
    Failed(Failed),
    /// From the first: the run has ended.
    Ended(Verdict),
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// For who sees no words.
    pub code: Option<String>,
    /// For who does.
    pub words: String,
    /// Whether there was too little memory, so that another way may do.
    pub exhausted: bool,
}

/// What all do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next statement.
    Next,
    /// The same one with joins that spill.
    Spilling,
    /// Nothing more.
    Stop,
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Planned(None) => vec![0],
            Self::Planned(Some(digest)) => [&[1], &digest.to_le_bytes()[..]].concat(),
            Self::Together => vec![2],
            Self::Alone => vec![3],
            Self::Failed(failed) => {
                let code = failed.code.as_deref();
                let flags = u8::from(failed.exhausted) | (u8::from(code.is_some()) << 1);
                let code = code.unwrap_or_default();
                // A code is a word or two.
                let length = (code.len() as u32).to_le_bytes();
                [
                    &[4, flags],
                    &length[..],
                    code.as_bytes(),
                    failed.words.as_bytes(),
                ]
                .concat()
            }
            Self::Ended(verdict) => vec![
                5,
                match verdict {
                    Verdict::Next => 0,
                    Verdict::Spilling => 1,
                    Verdict::Stop => 2,
                },
            ],
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        Some(match (tag, rest) {
            (0, []) => Self::Planned(None),
            (1, digest) => Self::Planned(Some(u64::from_le_bytes(digest.try_into().ok()?))),
            (2, []) => Self::Together,
            (3, []) => Self::Alone,
            (4, [flags, rest @ ..]) => {
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
                let (code, words) = rest.split_at_checked(length)?;
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
                Self::Failed(Failed {
                    code: match flags & 2 {
                        0 => None,
                        _ => Some(text(code)?),
                    },
                    words: text(words)?,
                    exhausted: flags & 1 != 0,
                })
            }
            (5, [0]) => Self::Ended(Verdict::Next),
            (5, [1]) => Self::Ended(Verdict::Spilling),
            (5, [2]) => Self::Ended(Verdict::Stop),
            _ => return None,
        })
    }
}
