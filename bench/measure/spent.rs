//! What commands take that run to their ends: time, memory and disk.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::measure::Sample;
use crate::peers::process::{ended_children_cpu, peak_memory};

const PATIENCE: Duration = Duration::from_secs(240);

/// What commands took that ran one after the other.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds, of all threads.
    pub(crate) cpu: f64,
    /// The most bytes that one of them held in memory.
    pub(crate) memory: u64,
    /// The most bytes of disk that they held in their directory beyond what was there before.
    pub(crate) disk: u64,
}

impl Spent {
    /// Runs commands that write below `directory`; `log` gets what they say.
    pub(crate) fn on(
        commands: impl IntoIterator<Item = Command>,
        directory: &Path,
        log: &Path,
    ) -> Result<Self> {
        let output = fs::File::create(log)?;
        let before = allocated(directory)?;
        let (cpu, begun) = (ended_children_cpu()?, Instant::now());
        let mut spent = Self::default();
        for mut command in commands {
            command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
            command.env("TMPDIR", directory);
            spent.watch(command, directory, begun)?;
        }
        spent.wall = begun.elapsed().as_secs_f64();
        spent.cpu = ended_children_cpu()? - cpu;
        spent.disk = spent.disk.max(allocated(directory)?).saturating_sub(before);
        Ok(spent)
    }

    /// As values of a sample, under the names given: seconds, seconds and MiB.
    pub(crate) fn sample(&self, [wall, cpu, memory]: [&'static str; 3]) -> Sample {
        let mebibytes = self.memory as f64 / f64::from(1 << 20);
        Sample::from([(wall, self.wall), (cpu, self.cpu), (memory, mebibytes)])
    }

    fn watch(&mut self, mut command: Command, directory: &Path, begun: Instant) -> Result<()> {
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let mut looked = Instant::now();
        loop {
            // A process that has ended but was not waited for has no memory any more.
            self.memory = self.memory.max(peak_memory(child.id()).unwrap_or(0));
            if let Some(status) = child.try_wait()? {
                ensure!(status.success(), "{command:?} failed: {status}");
                return Ok(());
            }
            if looked.elapsed() > Duration::from_millis(200) {
                self.disk = self.disk.max(allocated(directory)?);
                looked = Instant::now();
            }
            if begun.elapsed() > PATIENCE {
                child.kill()?;
            }
            sleep(Duration::from_millis(2));
        }
    }
}

/// An empty directory, whatever was there before.
pub(crate) fn emptied(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(fs::create_dir_all(directory)?)
}

/// Bytes of disk below a directory; what vanishes meanwhile does not count.
pub(crate) fn allocated(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() {
            allocated(&entry.path()).unwrap_or(0)
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(bytes)
}
