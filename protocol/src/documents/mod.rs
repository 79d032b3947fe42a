//! Documents: what travels between parties, host and enclave, each parsed into a checked value.
//!
//! [`card`] says who somebody is, [`replacement`] who takes a card's place, [`broker`] whose broker,
//! and [`dsse`] how documents are signed. [`record`] is what an enclave says of itself, [`control`]
//! opens a session with it, [`message`] is what a session is told, [`job`] what it runs, and
//! [`receipt`] what came of it, with [`custody`], [`figures`] and [`failure`]
//! sealed inside by [`sealed_to`]. [`storage`] has what the host keeps and hands on.

pub mod broker;
pub mod card;
pub mod control;
pub mod custody;
pub mod dsse;
pub mod failure;
pub mod figures;
pub mod hosting;
pub mod job;
pub mod message;
pub mod proposal;
pub mod receipt;
pub mod record;
pub mod replacement;
pub mod sealed_to;
pub mod storage;
