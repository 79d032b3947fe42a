//! A broker: it releases an owner's data keys while the owner is away.
//!
//! It has a key of its own, which a policy names beside a dataset once the owner signed its card,
//! and which may release that dataset's key, answer the starts of jobs that read it, and ask how far
//! a session is; nothing else. What a job leaves in its custody it takes out of the receipt, and
//! releases likewise. It runs on a machine the owner trusts. Start at [`Folder`], which is
//! a broker at rest; [`Broker`] has its secrets; [`grant`] is what a session gets, and
//! [`serve`] looks for sessions.
//!
//! It counts as every owner does, in its [ledger](crate::state::ledger): what is granted stands
//! there before it leaves, and what is refused too. It goes on by itself only where its run is
//! marked: a folder that was put back, or a machine that was started anew, grants nothing
//! until somebody who noted the ledger's head says [`resume`](Folder::resume). A snapshot of the
//! whole machine brings the mark back with the rest and is not noticed.

mod accepted;
mod custody;
mod error;
mod folder;
pub mod grant;
pub mod handover;
mod keeping;
mod mark;
pub mod serve;
mod versions;

pub use accepted::datasets_of;
pub use custody::InCustody;
pub use error::{BrokerError, OtherHead, RolledBack};
pub use folder::{Broker, Folder};
pub use keeping::{Keep, Unlock};
pub use versions::{Held, give};

#[cfg(test)]
mod tests;
