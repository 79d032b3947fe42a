//! DataFusion as a component.

use datafusion::error::Result;
use datafusion::prelude::*;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    if let Err(error) = runtime.block_on(run()) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn run() -> Result<()> {
    let context = SessionContext::new();
    let query = std::env::args().nth(1).unwrap_or_default();
    context.sql(&query).await?.show().await
}
