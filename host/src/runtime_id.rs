//! The name of a runtime process.

use std::fmt;

use mc2_protocol::encoding::hex_array;

/// Names one runtime process: 16 random bytes. A process that the host started is known by the
/// listener made for it; one that dialed in states its own in the header `mc2-runtime-id`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RuntimeId(pub(crate) [u8; 16]);

impl RuntimeId {
    /// An id as the header states it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        hex_array(text).map(Self)
    }

    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        Ok(Self(id))
    }
}

impl fmt::Display for RuntimeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
