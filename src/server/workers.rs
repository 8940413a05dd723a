//! Threads that serve connections, one for each core.
//!
//! A connection stays on its thread to its end: what wakes it wakes that thread and no other.
//! Threads that take work from each other cost half as much again for a single large blob, and
//! answer half as many small requests (docs/decisions/006-a-thread-for-each-core.md).

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};

/// After how many turns of connections a thread looks for those that were asked something:
/// where all are busy, a small answer waits so long.
const EVENTS: u32 = 8;

/// The threads.
#[derive(Debug)]
pub(super) struct Workers(Box<[Worker]>);

#[derive(Debug)]
struct Worker {
    handle: Handle,
    /// How many tasks it has.
    load: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts the threads; each ends with the future that is made for it, and breaks off its tasks.
    ///
    /// # Errors
    ///
    /// When the system gives no more threads or descriptors.
    pub(super) fn start<F>(mut until: impl FnMut() -> F) -> io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let start = |number| {
            let runtime =
                Builder::new_current_thread().event_interval(EVENTS).enable_all().build()?;
            let handle = runtime.handle().clone();
            let until = until();
            let work = move || {
                runtime.block_on(until);
                // What still reads or hashes has nobody left to do it for.
                runtime.shutdown_background();
            };
            thread::Builder::new().name(format!("connections-{number}")).spawn(work)?;
            Ok(Worker { handle, load: Arc::default() })
        };
        Ok(Self((0..cores).map(start).collect::<io::Result<_>>()?))
    }

    /// Gives a task to the thread that has the fewest.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let least = self.0.iter().min_by_key(|it| it.load.load(Ordering::Relaxed));
        let Some(Worker { handle, load }) = least else { return };
        let counted = Counted::new(load);
        handle.spawn(async move {
            let _counted = counted;
            task.await;
        });
    }
}

/// Counts as one task while it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::future::pending;
    use std::sync::mpsc;

    use tokio::sync::watch;

    use super::*;

    #[test]
    fn tasks_are_dealt_out_and_end_with_the_threads() {
        let (over, seen) = watch::channel(());
        let workers = Workers::start(|| {
            let mut seen = seen.clone();
            async move { drop(seen.changed().await) }
        });
        let workers = workers.unwrap();
        let (tell, told) = mpsc::channel();
        for _ in 0..workers.0.len() {
            let tell = tell.clone();
            workers.spawn(async move {
                tell.send(thread::current().id()).unwrap();
                pending::<()>().await;
                // Held to the end of the task.
                drop(tell);
            });
        }
        drop(tell);
        let threads: HashSet<_> = told.iter().take(workers.0.len()).collect();
        assert_eq!(threads.len(), workers.0.len(), "each thread has one");
        over.send_replace(());
        assert!(told.recv().is_err(), "the tasks are gone");
        // Each is counted a moment longer than it lives.
        while workers.0.iter().any(|it| it.load.load(Ordering::Relaxed) > 0) {
            thread::yield_now();
        }
    }
}
