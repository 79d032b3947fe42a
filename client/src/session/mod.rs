//! A session, as a client goes through it. Each state is a type of its own, and only an appraised
//! session has a way to give keys, approvals or jobs away.
//!
//! [`Opened::open`] → [`Opened::appraise`] → [`Session::release`], [`Session::approve`],
//! [`Session::status`], [`Session::submit`] → [`Running::wait`] → [`Running::receipt`]. Where a host
//! serves many, a submission goes by its queue: [`Session::leaving`] → [`Session::leave`] →
//! [`Session::turn`] → [`Session::running`].

mod error;
mod opening;
mod queueing;
mod running;
mod starting;
mod telling;

use std::time::Duration;

pub use error::SessionError;
pub use opening::{Opened, Verifier};
pub use queueing::Queued;
pub use running::Running;
pub use telling::{Session, allowed_runs};

/// How long nothing may be heard of a session before whoever waits gives up.
const PATIENCE: Duration = Duration::from_secs(120);
