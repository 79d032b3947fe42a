//! What a CSV's columns are.

mod types;

pub use self::types::{Seen, Type};
