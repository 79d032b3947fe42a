//! What a party of a session does, each verb of `mc2` a function, each process its own.
//!
//! A [`Member`] is this person with their state folder. [`Member::upload`] brings data to a host;
//! [`Member::open_session`] and [`Member::join_session`] appraise a session and keep what they found;
//! [`Member::enter`] goes back to it, from another process and days later, and appraises what was
//! kept once more. In it a party [approves](Entered::approve) the policy or one job and releases its
//! keys, [submits](Entered::submit) a job, [watches](Entered::watch) one to its end. Nothing is
//! released or approved under a policy with a card nobody compared, nor of what was
//! [revoked](Member::revoke).

mod approving;
mod arguments;
mod attesting;
mod error;
mod handing;
mod listing;
mod member;
mod missing;
mod proposing;
mod releasing;
mod revoking;
mod submitting;
mod uploading;
mod waiting;
mod watching;

pub use approving::{Approval, Consent};
pub use arguments::{ArgumentError, Arguments};
pub use attesting::{At, Attested};
pub use error::VerbError;
pub(crate) use handing::Handing;
pub use listing::Known;
pub use member::{Entered, Member};
pub use missing::Missing;
pub use proposing::Proposed;
pub(crate) use proposing::proposals;
pub use releasing::{Choice, Planned, Releases};
pub use revoking::Revocation;
pub use submitting::{Drafting, Submitted};
pub use uploading::Uploading;
pub use watching::{Ended, Watching};
