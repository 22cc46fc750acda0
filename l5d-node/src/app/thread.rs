//! A thread with a runtime of its own.

use std::future::Future;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::AppError;

/// What is still open when a thread should have ended is cut after this.
const PATIENCE: Duration = Duration::from_secs(2);

/// A thread that runs one future. Whoever owns it joins it.
#[derive(Debug)]
pub(super) struct Thread {
    name: &'static str,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Thread {
    /// Runs the future of `start` on a new thread, until it ends by itself.
    pub(super) fn start<F: Future<Output = ()>>(
        name: &'static str,
        start: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Self, AppError> {
        let failed = |source| AppError::Thread { name, source };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(start());
                // A name lookup that hangs must not hold up the end.
                runtime.shutdown_background();
                let _ = end.send(());
            })
            .map_err(failed)?;
        Ok(Self {
            name,
            ended,
            thread,
        })
    }

    /// Waits for its end, for a moment: it was asked to end before.
    pub(super) async fn join(self) {
        match timeout(PATIENCE, self.ended).await {
            Ok(Ok(())) => {
                // It has said its last word: this does not block.
                let _ = self.thread.join();
            }
            Ok(Err(_)) => tracing::error!(thread = self.name, "thread panicked"),
            Err(_) => tracing::warn!(thread = self.name, "thread does not end, left behind"),
        }
    }
}
