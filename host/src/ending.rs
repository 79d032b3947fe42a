//! The flag that is raised when the host ends.

use tokio::sync::watch;

/// Comes back once `flag` is raised, or can be no more.
pub(crate) async fn raised(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|raised| *raised).await;
}
