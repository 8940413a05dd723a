//! A bad line to a registry: connections that are cut, stall, garble bytes or are refused.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shipperd::oci::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a stalled connection gives nothing before it is cut.
const STALL: Duration = Duration::from_millis(100);

/// A proxy before a registry; gone when dropped.
#[derive(Debug)]
pub struct Proxy {
    registry: Registry,
    line: Arc<Line>,
    task: JoinHandle<()>,
}

/// What it does, and what it has done.
#[derive(Debug)]
struct Line {
    upstream: String,
    is_bad: AtomicBool,
    is_down: AtomicBool,
    /// Whether new connections wait, and how many do.
    held: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
    random: AtomicU64,
    faults: AtomicUsize,
    bytes: AtomicU64,
    /// The blobs that were asked for: path, and the first byte wanted.
    asked: Mutex<Vec<(String, u64)>>,
    garbled: Mutex<BTreeSet<String>>,
}

/// What becomes of a connection after so many bytes.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Cut,
    Stall,
    Garble,
    Refuse(&'static str),
}

impl Proxy {
    /// Starts one, before a registry at this address.
    pub async fn start(upstream: &str, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = listener.local_addr().unwrap().to_string().parse().unwrap();
        let line = Arc::new(Line {
            upstream: upstream.to_owned(),
            is_bad: false.into(),
            is_down: false.into(),
            held: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
            random: seed.into(),
            faults: 0.into(),
            bytes: 0.into(),
            asked: Mutex::default(),
            garbled: Mutex::default(),
        });
        let shared = Arc::clone(&line);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if shared.is_down.load(Ordering::Relaxed) {
                    continue;
                }
                let line = Arc::clone(&shared);
                // That one of the two ends is what it is about.
                tokio::spawn(async move { drop(line.carry(stream).await) });
            }
        });
        Self { registry, line, task }
    }

    /// Where it listens.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Whether the line is bad from now on.
    pub fn set_bad(&self, is_bad: bool) {
        self.line.is_bad.store(is_bad, Ordering::Relaxed);
    }

    /// Whether nothing gets through from now on.
    pub fn set_down(&self, is_down: bool) {
        self.line.is_down.store(is_down, Ordering::Relaxed);
    }

    /// Whether connections wait from now on before anything gets through.
    pub fn set_held(&self, is_held: bool) {
        self.line.held.send_replace(is_held);
    }

    /// Waits until a connection waits.
    pub async fn until_held(&self) {
        self.line.waiting.subscribe().wait_for(|waiting| *waiting > 0).await.unwrap();
    }

    /// How many connections did not end well.
    pub fn faults(&self) -> usize {
        self.line.faults.load(Ordering::Relaxed)
    }

    /// How many bytes came from the registry.
    pub fn bytes(&self) -> u64 {
        self.line.bytes.load(Ordering::Relaxed)
    }

    /// The blobs that were asked for since this was last asked: digest, and first byte wanted.
    pub fn asked(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.line.asked.lock().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    async fn carry(&self, client: TcpStream) -> std::io::Result<()> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        let mut held = self.held.subscribe();
        held.wait_for(|held| !held).await.map_err(std::io::Error::other)?;
        let registry = TcpStream::connect(&self.upstream).await?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_registry, mut to_registry) = registry.into_split();
        let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
        let mut fate = self.fate();
        let mut path = String::new();
        loop {
            tokio::select! {
                read = from_client.read(&mut up) => {
                    let request = &up[..read?];
                    if request.is_empty() || self.is_down.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    if let Some(blob) = self.note(request) {
                        path = blob;
                    }
                    if let Some((_, Fate::Refuse(status))) = fate {
                        self.faults.fetch_add(1, Ordering::Relaxed);
                        return to_client.write_all(status.as_bytes()).await;
                    }
                    to_registry.write_all(request).await?;
                }
                read = from_registry.read(&mut down) => {
                    let length = read?;
                    if length == 0 || self.is_down.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    self.bytes.fetch_add(length as u64, Ordering::Relaxed);
                    let (after, what) = fate.get_or_insert((u64::MAX, Fate::Cut));
                    let end = usize::try_from(*after).unwrap_or(usize::MAX).min(length);
                    *after -= end as u64;
                    if *after > 0 {
                        to_client.write_all(&down[..length]).await?;
                        continue;
                    }
                    self.faults.fetch_add(1, Ordering::Relaxed);
                    match what {
                        Fate::Garble if self.may_garble(&path) => {
                            down[end - 1] ^= 4;
                            to_client.write_all(&down[..length]).await?;
                            fate = self.fate();
                            continue;
                        }
                        Fate::Stall => {
                            to_client.write_all(&down[..end]).await?;
                            tokio::time::sleep(STALL).await;
                        }
                        _ => to_client.write_all(&down[..end]).await?,
                    }
                    return Ok(());
                }
            }
        }
    }

    /// What becomes of a new connection; nothing bad, if the line is good.
    fn fate(&self) -> Option<(u64, Fate)> {
        if !self.is_bad.load(Ordering::Relaxed) {
            return None;
        }
        let fate = match self.next() % 100 {
            0..=4 => Fate::Refuse(
                "HTTP/1.1 429 Slow Down\r\nRetry-After: 0\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n",
            ),
            5..=9 => {
                Fate::Refuse("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            }
            10..=14 => Fate::Garble,
            15..=24 => Fate::Stall,
            _ => Fate::Cut,
        };
        // Most of what is cut is in the middle of a layer.
        Some((1 + self.next() % (512 << 10), fate))
    }

    /// Wrong twice would rightly be given up.
    fn may_garble(&self, path: &str) -> bool {
        !path.is_empty() && self.garbled.lock().unwrap().insert(path.to_owned())
    }

    /// Takes note of a request; its path, if it is for a blob.
    fn note(&self, request: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(request);
        let line = text.lines().next()?.strip_prefix("GET ")?;
        let (_, digest) = line.split_once(' ')?.0.split_once("/blobs/")?;
        let range = text.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("range").then(|| value.strip_prefix("bytes="))?
        });
        let start = range.map_or(0, |it| it.strip_suffix('-').unwrap().parse().unwrap());
        self.asked.lock().unwrap().push((digest.to_owned(), start));
        Some(digest.to_owned())
    }

    /// The next of the same numbers on every run: xorshift.
    fn next(&self) -> u64 {
        let step = |mut x: u64| {
            x ^= x << 13;
            x ^= x >> 7;
            Some(x ^ (x << 17))
        };
        self.random.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap() >> 8
    }
}
