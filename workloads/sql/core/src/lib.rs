//! The parts of the SQL component that need no query engine: its command line, the formats it
//! recognises, where in the SQL an error is, and how a result looks on a terminal.
//!
//! They are a crate of their own so that their tests run natively in seconds, without compiling
//! DataFusion. Everything here takes untrusted text or bytes and returns values; nothing does I/O
//! but [`table::Printer`], which writes to what it is given. Start with [`args::Args`].

#![forbid(unsafe_code)]

pub mod args;
pub mod csv;
pub mod depth;
pub mod format;
pub mod json;
pub mod literals;
pub mod params;
pub mod partitions;
pub mod place;
pub mod ranks;
pub mod suggest;
pub mod table;
pub mod wide;
