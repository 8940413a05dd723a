//! Watches the shelf: by the kernel's word where it gives it, and by looking again now and then.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::live::Live;
use super::overlay::Overlay;
use super::shelf::Shelf;

/// How long is waited for more to happen before looking, so that a copy is not looked at for each block.
const SETTLE: Duration = Duration::from_millis(100);
/// How often is looked without being told to: network file systems tell nothing.
const INTERVAL: Duration = Duration::from_secs(5);

/// Serves what is on the shelf until `live` has no other owner or the task is dropped.
///
/// A scan that fails leaves what is served as it is, and is tried again.
pub async fn watch(mut shelf: Shelf, paths: Vec<PathBuf>, live: Arc<Live<Overlay>>) {
    let (tell, mut told) = mpsc::channel::<()>(1);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // Full means that a look is due already.
            let _ = tell.try_send(());
        }
    });
    let watcher = watcher.and_then(|mut watcher| {
        for path in &paths {
            // A file's directory: the file itself may be replaced.
            let watched = if path.is_dir() { Some(path.as_path()) } else { path.parent() };
            let watched = watched.filter(|path| !path.as_os_str().is_empty());
            watcher.watch(watched.unwrap_or(".".as_ref()), RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    // Kept to the end of the task: dropping it ends the kernel's reports.
    let _watcher = match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            let seconds = INTERVAL.as_secs();
            tracing::info!(%error, "no change reports here, looking every {seconds} seconds");
            None
        }
    };
    loop {
        tokio::select! {
            event = told.recv() => match event {
                Some(()) => tokio::time::sleep(SETTLE).await,
                None => tokio::time::sleep(INTERVAL).await,
            },
            () = tokio::time::sleep(INTERVAL) => {}
        }
        while told.try_recv().is_ok() {}
        let scan = move || {
            let served = shelf.scan();
            (shelf, served)
        };
        let Ok((back, served)) = tokio::task::spawn_blocking(scan).await else { return };
        shelf = back;
        match served {
            Ok(Some(served)) => live.replace(served),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "cannot look for bundles: {error}"),
        }
    }
}
