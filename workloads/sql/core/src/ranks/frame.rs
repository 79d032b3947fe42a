//! Frames: sixteen bytes that say what follows and how much.

/// Before every payload.
pub(super) const HEADER: usize = 16;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows for an exchange.
    Data = 1,
    /// An exchange's sender has said all.
    End = 2,
    /// As many bytes of an exchange were taken; the payload is a `u64`.
    Credit = 3,
    /// An exchange's receiver wants no more.
    Cancel = 4,
    /// A [`Message`](super::Message).
    Message = 5,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [
            Self::Data,
            Self::End,
            Self::Credit,
            Self::Cancel,
            Self::Message,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Which run of which statement.
    pub(super) run: u32,
    /// Which exchange of it; 0 for messages.
    pub(super) exchange: u32,
    /// Bytes that follow.
    pub(super) length: u32,
}

impl Head {
    pub(super) fn bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.run.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.exchange.to_le_bytes());
        bytes[12..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(word)
        };
        Some(Self {
            kind: Kind::of(bytes[0])?,
            run: word(4),
            exchange: word(8),
            length: word(12),
        })
    }
}
