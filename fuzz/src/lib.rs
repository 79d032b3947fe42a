//! What every fuzz target does: hand hostile bytes to one parser and check what it promises. The
//! same functions run in ordinary tests, over broken copies of good documents.

mod decoders;
pub mod xgboost;

pub use decoders::*;
