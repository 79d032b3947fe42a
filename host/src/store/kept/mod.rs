//! What is known of each stored object and component: how large it is, and when it was used last.

mod accounts;
mod entry;
mod keeping;
mod sweep;
#[cfg(test)]
mod tests;

pub(crate) use accounts::Payer;
pub(super) use accounts::Reserved;
pub(crate) use entry::Kept;
pub(super) use keeping::Content;
pub(crate) use keeping::Keeping;
