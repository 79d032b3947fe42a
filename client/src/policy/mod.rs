//! Policies as people meet them: what is written for one party alone or after asking, what is shown
//! before an approval, and what a person should know of a policy that is right.
//!
//! What a policy means, and whether it holds, is [`mc2_protocol::policy`]'s, which enclaves share;
//! nothing here is trusted by one.

pub mod advice;
pub mod approval;
pub mod check;
mod date;
mod fields;
mod file;
pub mod new;
mod words;
mod write;

pub use date::rfc3339;
pub use fields::to_json;
pub use file::{PolicyFileError, read_policy};
#[cfg(test)]
pub(crate) use write::bare_policy;
pub use write::{OneParty, WantedOutput, generous_limits};
