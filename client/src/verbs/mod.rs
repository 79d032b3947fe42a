//! What a party of a session does, each verb of `mc2` a function, each process its own.

mod arguments;

pub use arguments::{ArgumentError, Arguments};
