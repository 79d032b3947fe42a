//! What a guest may use: the limits a job states ([`Limits`]), and the fixed caps beside them.
//! [`Budgets`] share a job's limits among its instances; [`Limiter`] adds up all memories and
//! tables of one; [`Caps`] bound a component before it is compiled.

mod budget;
mod caps;
mod fixed;
mod job;
mod limiter;

pub use caps::Caps;
pub use fixed::PEERS;
pub use job::Limits;

pub(crate) use budget::{Budget, Budgets, Held};
pub(crate) use fixed::*;
pub(crate) use limiter::Limiter;
