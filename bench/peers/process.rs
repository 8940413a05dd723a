//! A server under test: started on a free port, measured from /proc, stopped by its id.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::load;
use crate::stop::stop;

const STARTED_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// An address of this machine that nobody listens at.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// From just before it was started to its first answer.
    pub(crate) started: Duration,
    child: Child,
}

impl Server {
    /// Starts a server in clear text and waits until it answers `path` with 200.
    pub(crate) fn start(
        command: Command,
        address: SocketAddr,
        path: &str,
        log: &Path,
    ) -> Result<Self> {
        Self::start_until(command, address, log, || load::get(address, path).is_ok())
    }

    /// Starts a server and waits until it takes connections.
    pub(crate) fn start_listening(
        command: Command,
        address: SocketAddr,
        log: &Path,
    ) -> Result<Self> {
        Self::start_until(command, address, log, || std::net::TcpStream::connect(address).is_ok())
    }

    fn start_until(
        mut command: Command,
        address: SocketAddr,
        log: &Path,
        answers: impl Fn() -> bool,
    ) -> Result<Self> {
        let output = fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let begun = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let mut server = Self { address, started: Duration::ZERO, child };
        while !answers() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{command:?} ended with {status}; its log is {}", log.display());
            }
            ensure!(
                begun.elapsed() < STARTED_WITHIN,
                "{command:?} does not answer; its log is {}",
                log.display()
            );
            sleep(Duration::from_micros(200));
        }
        server.started = begun.elapsed();
        Ok(server)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU seconds it and its children have used.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let mut ticks = 0;
        for pid in self.family()? {
            ticks += cpu_ticks(&pid)?;
        }
        Ok(seconds(ticks))
    }

    /// Bytes of memory it and its children hold now.
    pub(crate) fn resident(&self) -> Result<u64> {
        self.family()?.iter().map(|pid| memory(pid, "VmRSS:")).sum()
    }

    /// The most bytes it and its children have held.
    pub(crate) fn peak(&self) -> Result<u64> {
        self.family()?.iter().map(|pid| memory(pid, "VmHWM:")).sum()
    }

    fn family(&self) -> Result<Vec<String>> {
        let id = u64::from(self.child.id());
        let mut family = vec![id.to_string()];
        for entry in fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().into_string() else { continue };
            // Others end while we look.
            if pid.bytes().all(|byte| byte.is_ascii_digit())
                && stat_fields(&pid, PARENT).is_ok_and(|fields| fields.first() == Some(&id))
            {
                family.push(pid);
            }
        }
        Ok(family)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child, STOPPED_WITHIN);
    }
}

/// CPU seconds of this process.
pub(crate) fn own_cpu() -> Result<f64> {
    Ok(seconds(cpu_ticks("self")?))
}

/// CPU seconds of this process's ended children, and of theirs.
pub(crate) fn ended_children_cpu() -> Result<f64> {
    Ok(seconds(stat_fields("self", CHILDREN_TIMES)?.iter().sum()))
}

/// The most bytes of memory that a running process has held, by its id.
pub(crate) fn peak_memory(pid: u32) -> Result<u64> {
    memory(&pid.to_string(), "VmHWM:")
}

fn cpu_ticks(pid: &str) -> Result<u64> {
    Ok(stat_fields(pid, TIMES)?.iter().sum())
}

// Where two numbers begin in /proc/PID/stat, counted from 1 as proc(5) does:
/// the parent and its process group;
const PARENT: usize = 4;
/// user and system time;
const TIMES: usize = 14;
/// those of children that have ended.
const CHILDREN_TIMES: usize = 16;

fn stat_fields(pid: &str, first: usize) -> Result<Vec<u64>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(") ").context("stat holds a name")?;
    // What follows the name is the third field.
    let fields = after_name.split(' ').skip(first - 3).take(2);
    Ok(fields.map(str::parse).collect::<Result<_, _>>()?)
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn memory(pid: &str, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(field)).context("a process has memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
