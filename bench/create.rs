//! From a registry on this machine to one bundle, against skopeo to one OCI layout.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::measure::{Sample, in_turn};
use crate::peers::{Peer, Served, Yard};
use crate::process::{ended_children_cpu, peak_memory};
use crate::report::{Figure, Goal};
use crate::store::Store;

const PATIENCE: Duration = Duration::from_secs(180);

/// Who fetches.
#[derive(Clone, Debug)]
enum Fetcher<'a> {
    Ours(&'a Peer),
    Skopeo,
}

impl Fetcher<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Ours(peer) => peer.name(),
            Self::Skopeo => "skopeo",
        }
    }

    /// The commands to run one after the other; all write below `output`.
    fn commands(&self, registry: SocketAddr, store: &Store, output: &Path) -> Vec<Command> {
        let references = store
            .images
            .iter()
            .map(|image| format!("{registry}/{}:{}", image.repository, image.tag));
        match self {
            Self::Ours(Peer::Shipperd(_, binary)) => {
                let mut command = Command::new(binary);
                command.args(["--quiet", "create", "--name", "release", "--no-referrers"]);
                command.arg("--plain-http").arg(registry.to_string()).arg("-o").arg(output);
                command.env("XDG_STATE_HOME", output.join("state"));
                command.args(references);
                vec![command]
            }
            Self::Ours(_) => Vec::new(),
            // One image a call is how skopeo copies into a layout under a name of its own.
            Self::Skopeo => references
                .map(|reference| {
                    let mut command = Command::new("skopeo");
                    command.args([
                        "--insecure-policy",
                        "copy",
                        "--quiet",
                        "--src-tls-verify=false",
                    ]);
                    command.arg(format!("docker://{reference}"));
                    command.arg(format!("oci:{}:{reference}", output.join("layout").display()));
                    command
                })
                .collect(),
        }
    }
}

/// Fetches the whole content with each, in turn, from the same registry.
pub(crate) fn run(
    yard: &Yard,
    ours: &[Peer],
    content: &Served,
    store: &Store,
    rounds: usize,
) -> Result<Vec<Figure>> {
    let registry = yard.start(&Peer::Distribution, content)?;
    let size = store.size() + store.images.iter().map(|image| image.manifest.size).sum::<u64>();
    let fetchers: Vec<_> = ours.iter().map(Fetcher::Ours).chain([Fetcher::Skopeo]).collect();
    let output = store.directory.join("created");
    let mut measured = in_turn(rounds, &fetchers, Fetcher::name, |fetcher| {
        if output.exists() {
            fs::remove_dir_all(&output)?;
        }
        fs::create_dir_all(&output)?;
        let log = fs::File::create(store.directory.join(format!("create-{}.log", fetcher.name())))?;
        let (cpu, begun) = (ended_children_cpu()?, Instant::now());
        let mut peak = Peak::default();
        for mut command in fetcher.commands(registry.address, store, &output) {
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
            command.env("TMPDIR", &output);
            peak.watch(command, &output, begun)?;
        }
        let (wall, cpu) = (begun.elapsed().as_secs_f64(), ended_children_cpu()? - cpu);
        peak.disk = peak.disk.max(allocated(&output)?);
        ensure!(peak.disk >= size / 20 * 19, "{} did not fetch all", fetcher.name());
        Ok(Sample::from([
            ("wall", wall),
            ("cpu", cpu),
            ("memory", peak.memory as f64 / f64::from(1 << 20)),
            ("disk", peak.disk as f64 / size as f64),
        ]))
    })?;
    fs::remove_dir_all(&output)?;
    let mut figure = |key, name: &str, unit, goals| Figure {
        group: "Create",
        name: format!("{name}, {} images, {:.2} GB", store.images.len(), size as f64 / 1e9),
        unit,
        servers: measured.remove(key).unwrap_or_default(),
        goals,
    };
    Ok(vec![
        figure("wall", "wall", "s", vec![Goal::Times(0.6, "skopeo")]),
        figure("cpu", "CPU", "s", Vec::new()),
        figure("memory", "peak memory", "MiB", vec![Goal::Value(128.0)]),
        figure("disk", "peak disk", "of the content", vec![Goal::Value(1.01)]),
    ])
}

/// The most that was seen while commands ran.
#[derive(Debug, Default)]
struct Peak {
    memory: u64,
    disk: u64,
}

impl Peak {
    fn watch(&mut self, mut command: Command, output: &Path, begun: Instant) -> Result<()> {
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
                self.disk = self.disk.max(allocated(output)?);
                looked = Instant::now();
            }
            if begun.elapsed() > PATIENCE {
                child.kill()?;
            }
            sleep(Duration::from_millis(2));
        }
    }
}

/// Bytes of disk below a directory; what vanishes meanwhile does not count.
fn allocated(directory: &Path) -> Result<u64> {
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
