//! How do file operations, which block, stay out of the way of everything else that goes on?

use bldr_core::error::{PortError, PortErrorKind, PortResult};

/// Does blocking work on a thread for such work. It is finished even if nobody waits for it any more.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> PortResult<T> + Send + 'static) -> PortResult<T> {
    let broken =
        |error| PortError::new(PortErrorKind::Refused, "a file operation", "it broke off, which is a bug in bldr").caused_by(error);
    tokio::task::spawn_blocking(work).await.map_err(broken)?
}
