//! A key the policy hands to the guest by name.

use std::hint::black_box;

/// The bytes of a key from `/run/mc2/keys/NAME`; neither printable nor comparable, and
/// overwritten when dropped.
///
/// ```no_run
/// # fn decrypt(_: &[u8]) {}
/// # fn main() -> mc2_guest::Result {
/// let job = mc2_guest::Job::load()?;
/// let footer = job.key("parquet-footer")?;
/// decrypt(footer.as_bytes());
/// # Ok(())
/// # }
/// ```
pub struct Key(Vec<u8>);

impl Key {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The key itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.fill(0);
        // Otherwise the compiler may leave out writes nobody reads.
        black_box(&mut self.0);
    }
}
