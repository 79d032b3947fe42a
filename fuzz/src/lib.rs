//! What every fuzz target does: hand hostile bytes to one parser and check what it promises. The
//! same functions run in ordinary tests, over broken copies of good documents.
//!
//! `cargo xtask fuzz` runs the targets from their seeds: `seeds/TARGET`, which
//! `tests/tests/decoders.rs` writes and runs, and for the parsers of the XGBoost component the
//! fixtures `small`, `tables` and `models` of `workloads/xgboost/core`. The targets of the verifiers
//! of evidence and of timestamps are functions of `mc2_attestation::test_util`'s `hostile`, `crafted`
//! and `stamped`, whose tests write and run theirs. An input that a fuzzer found something with is kept as one more seed,
//! `seeds/TARGET/found-WHAT`.

mod decoders;
pub mod xgboost;

pub use decoders::*;
