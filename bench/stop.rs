//! How a server is stopped, by the bench and by what counts instructions.

use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Asks a process to end by SIGTERM, by its id; ends it when it has not after that time.
pub(crate) fn stop(child: &mut Child, within: Duration) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
    let begun = Instant::now();
    while asked && begun.elapsed() < within {
        match child.try_wait() {
            Ok(None) => sleep(Duration::from_millis(2)),
            _ => return,
        }
    }
    drop(child.kill());
    drop(child.wait());
}
