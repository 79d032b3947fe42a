//! What the instances of one query say to each other, and how it shares their streams.
//!
//! Between every two instances there is one stream each way. [`Mux`] carries the rows of all exchanges
//! over it, each with a window of its own, so that one that nobody reads yet holds up no other;
//! [`frame`] is what the bytes look like and [`message`] what instances tell each other beside rows.

mod frame;
mod message;
mod mux;
#[cfg(test)]
mod tests;

pub use message::{Failed, Message, Verdict};
pub use mux::{Item, Key, Mux};
