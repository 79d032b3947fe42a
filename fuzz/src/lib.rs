//! What every fuzz target does: hand hostile bytes to one parser and check what it promises. The
//! same functions run in ordinary tests, over broken copies of good documents.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run parquet fuzz/corpus/parquet SEEDS -- -rss_limit_mb=1024
//! -timeout=10 -max_len=20000`; good seeds are `small`, `tables` and `models` in
//! `workloads/xgboost/core/tests/fixtures`.

mod decoders;
pub mod xgboost;

pub use decoders::*;
