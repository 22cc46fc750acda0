//! A thread for what keeps this process like its sources: watches, stores, the engine.
//!
//! Beside thousands of sessions on one thread a change would wait behind all of them twice, before it is read and before it
//! is computed. On a thread of its own it has its turn from the operating system, also where both share a core.

use std::io;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The thread. It ends, with all tasks on it, when this is dropped or [`SourceThread::end`] is called.
pub(super) struct SourceThread {
    /// Where tasks of the thread are spawned.
    pub(super) handle: Handle,
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
}

impl SourceThread {
    /// Starts it, without tasks.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let (tell_end, ended) = oneshot::channel();
        let thread = move || {
            runtime.block_on(stopping.cancelled());
            drop(runtime);
            // Nobody listens any more if the process is about to end anyway.
            let _ = tell_end.send(());
        };
        std::thread::Builder::new()
            .name("sources".to_owned())
            .spawn(thread)?;
        Ok(Self {
            handle,
            stop,
            ended,
        })
    }

    /// Ends it, as soon as the task that runs has come to a wait.
    pub(super) async fn end(mut self) {
        self.stop.cancel();
        // Its end cannot be missed: it is told, or the teller is gone.
        let _ = (&mut self.ended).await;
    }
}

impl Drop for SourceThread {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_run_on_the_thread_and_end_with_it() {
        let sources = SourceThread::start().expect("a thread");
        let name = sources.handle.spawn(async {
            let thread = std::thread::current();
            thread.name().map(str::to_owned)
        });
        assert_eq!(name.await.expect("it runs").as_deref(), Some("sources"));
        let endless = sources.handle.spawn(std::future::pending::<()>());
        sources.end().await;
        assert!(endless.await.expect_err("it was cut off").is_cancelled());
    }
}
