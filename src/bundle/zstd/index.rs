//! An index of a zstd file: where everything is, and what had to be decoded, so that it need not be
//! decoded again.
//!
//! ```text
//! 0    magic "SHIPZIDX" | version u32 | 0 u32
//! 16   identity of the file 32        sha256 of its length, its time, its beginning and its end
//! 48   length of the content u64 | length of what was decoded u64 | number of runs u64
//! 72   sha256 of the 72 bytes before this, of the runs and of the sums: 32
//! 104  zeros
//! 128  what was decoded
//!      runs, each: at u64 | offset u64 | size u32 | kind u32     kinds: 0 raw, 1 fill, 2 decoded
//!      sums: of each 64 KiB of what was decoded the first 8 bytes of its sha256
//! ```
//!
//! Numbers are little-endian. It gets its name when all of it is on the disk. Nothing in it is
//! believed before it was checked; what was decoded is checked when it is first read.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::mem;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::frame::MAX_BLOCK;
use super::map::{Map, Place, Run};
use super::walk::stride;
use crate::extent::{Content, Extent, ReadAt};

const MAGIC: &[u8; 8] = b"SHIPZIDX";
const VERSION: u32 = 1;
/// Where the sum of the tables stands.
const CHECKED: usize = 72;
/// Where what was decoded begins.
const HEADER: usize = 128;
/// The length of a run, in bytes.
const RUN: usize = 24;
/// The length of the sum of a piece, in bytes.
const SUM: usize = 8;
/// The length of the pieces that have a sum each.
const PIECE: usize = 64 << 10;
/// How much of the beginning and of the end of a file tells it from others.
const SAMPLE: usize = 64 << 10;
/// How the names of indexes end.
const ENDING: &str = "zidx";
/// How long an index is kept that nobody uses.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What tells a file from all others.
pub(super) type Identity = [u8; 32];

/// What tells a file, and its state, from all others: its bytes, and when its parts were changed.
pub(super) fn identity(file: &Content, changed: &[(i64, i64)]) -> io::Result<Identity> {
    let mut hasher = Sha256::new();
    hasher.update(file.length().to_le_bytes());
    for (seconds, nanoseconds) in changed {
        hasher.update(seconds.to_le_bytes());
        hasher.update(nanoseconds.to_le_bytes());
    }
    let length = usize::try_from(file.length()).unwrap_or(SAMPLE).min(SAMPLE);
    let mut sample = vec![0; length];
    for position in [0, file.length() - length as u64] {
        file.read_at(&mut sample, position)?;
        hasher.update(&sample);
    }
    Ok(hasher.finalize().into())
}

/// Where the index of a file is kept.
pub(super) fn path(directory: &Path, identity: &Identity) -> PathBuf {
    let short: Vec<u8> = identity.iter().take(16).copied().collect();
    directory.join(hex::encode(short)).with_extension(ENDING)
}

/// An index in the making.
#[derive(Debug)]
pub(super) struct Draft {
    file: BufWriter<File>,
    path: PathBuf,
    length: u64,
    sums: Vec<u8>,
    /// The piece that is not full yet.
    piece: Sha256,
    filled: usize,
}

impl Draft {
    /// Begins an index that will have the name `path`.
    pub(super) fn begin(path: &Path) -> io::Result<Self> {
        let directory = path.parent().unwrap_or(path);
        fs::create_dir_all(directory)?;
        sweep(directory);
        let path = path.with_extension(format!("{}.partial", std::process::id()));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let mut file = BufWriter::with_capacity(1 << 20, options.open(&path)?);
        file.write_all(&[0; HEADER])?;
        let (piece, sums) = (Sha256::new(), Vec::new());
        Ok(Self { file, path, length: 0, sums, piece, filled: 0 })
    }

    /// Takes more of what was decoded.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.filled));
            self.piece.update(now);
            self.filled += now.len();
            if self.filled == PIECE {
                self.sum();
            }
            bytes = later;
        }
        Ok(())
    }

    fn sum(&mut self) {
        self.sums.extend(mem::take(&mut self.piece).finalize().iter().take(SUM));
        self.filled = 0;
    }

    /// Writes the tables, and gives the index its name.
    pub(super) fn finish(
        mut self,
        path: &Path,
        identity: &Identity,
        runs: &[Run],
        content: u64,
    ) -> io::Result<()> {
        if self.filled > 0 {
            self.sum();
        }
        let header =
            Header { identity: *identity, content, decoded: self.length, runs: runs.len() as u64 };
        let header = header.to_bytes();
        let mut hasher = Sha256::new();
        hasher.update(header);
        for run in runs {
            let run = run_to_bytes(*run);
            hasher.update(run);
            self.file.write_all(&run)?;
        }
        hasher.update(&self.sums);
        self.file.write_all(&self.sums)?;
        self.file.flush()?;
        let file = self.file.get_ref();
        file.write_all_at(&header, 0)?;
        file.write_all_at(&hasher.finalize(), CHECKED as u64)?;
        file.sync_all()?;
        fs::rename(&self.path, path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It has its name by now, or nobody will use it.
        drop(fs::remove_file(&self.path));
    }
}

/// Removes what nobody has used for long.
fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = path.extension().is_some_and(|it| it == ENDING || it == "partial");
        let used = entry.metadata().and_then(|it| it.modified());
        let age = used.ok().and_then(|used| SystemTime::now().duration_since(used).ok());
        if ours && age.is_some_and(|age| age > UNUSED) {
            drop(fs::remove_file(path));
        }
    }
}

/// Reads the index at `path`, if it is one of this state of this file and not damaged.
pub(super) fn load(path: &Path, identity: &Identity, file: &Content) -> io::Result<Option<Map>> {
    let index = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    // Whoever sweeps goes by this; it may be somebody else's file.
    drop(index.set_modified(SystemTime::now()));
    let length = index.metadata()?.len();
    let mut head = [0; HEADER];
    if length < HEADER as u64 || index.read_exact_at(&mut head, 0).is_err() {
        return Ok(None);
    }
    let Some(header) = Header::parse(&head, length).filter(|it| it.identity == *identity) else {
        return Ok(None);
    };
    let tables = length - HEADER as u64 - header.decoded;
    let Ok(tables) = usize::try_from(tables) else { return Ok(None) };
    // As long as the file itself is, at most.
    let mut bytes = vec![0; tables];
    index.read_exact_at(&mut bytes, HEADER as u64 + header.decoded)?;
    let mut hasher = Sha256::new();
    hasher.update(head.get(..CHECKED).unwrap_or_default());
    hasher.update(&bytes);
    if head.get(CHECKED..CHECKED + 32) != Some(hasher.finalize().as_slice()) {
        return Ok(None);
    }
    let count = usize::try_from(header.runs).unwrap_or_default();
    let (runs, sums) = bytes.split_at(count.saturating_mul(RUN).min(bytes.len()));
    let runs: Option<Box<[Run]>> = runs.chunks_exact(RUN).map(run_of_bytes).collect();
    let Some(runs) = runs.filter(|runs| fit(runs, &header, file)) else { return Ok(None) };
    let sums = sums.chunks_exact(SUM).map(|it| number(it, 0, SUM)).collect::<Box<[u64]>>();
    let good = sums.iter().map(|_| AtomicBool::new(false)).collect();
    let Some(extent) = Extent::new(Arc::new(index), HEADER as u64, header.decoded) else {
        return Ok(None);
    };
    let path = path.to_owned();
    let decoded = Content::Packed(Arc::new(Checked { extent, path, sums, good }));
    Ok(Some(Map { file: file.clone(), decoded, runs, length: header.content }))
}

/// What the beginning of an index says.
struct Header {
    identity: Identity,
    content: u64,
    decoded: u64,
    runs: u64,
}

impl Header {
    /// What these bytes say, if an index of this length may begin so.
    fn parse(bytes: &[u8; HEADER], length: u64) -> Option<Self> {
        if !bytes.starts_with(MAGIC) || number(bytes, 8, 8) != u64::from(VERSION) {
            return None;
        }
        let identity = bytes.get(16..48)?.try_into().ok()?;
        let word = |at| number(bytes, at, 8);
        let (content, decoded, runs) = (word(48), word(56), word(64));
        let sums = decoded.div_ceil(PIECE as u64).checked_mul(SUM as u64)?;
        let tables = runs.checked_mul(RUN as u64)?.checked_add(sums)?;
        let whole = tables.checked_add(decoded)?.checked_add(HEADER as u64)?;
        (whole == length).then_some(Self { identity, content, decoded, runs })
    }

    fn to_bytes(&self) -> [u8; CHECKED] {
        let mut bytes = Vec::with_capacity(CHECKED);
        bytes.extend(MAGIC);
        bytes.extend(u64::from(VERSION).to_le_bytes());
        bytes.extend(self.identity);
        for number in [self.content, self.decoded, self.runs] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.try_into().unwrap_or([0; CHECKED])
    }
}

fn run_to_bytes(run: Run) -> [u8; RUN] {
    let (offset, size, kind): (u64, u32, u32) = match run.place {
        Place::Raw { offset, size } => (offset, size, 0),
        Place::Fill(byte) => (byte.into(), 0, 1),
        Place::Decoded(offset) => (offset, 0, 2),
    };
    let mut bytes = Vec::with_capacity(RUN);
    bytes.extend(run.at.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.try_into().unwrap_or([0; RUN])
}

fn run_of_bytes(bytes: &[u8]) -> Option<Run> {
    let offset = number(bytes, 8, 8);
    let size = u32::try_from(number(bytes, 16, 4)).ok()?;
    let place = match number(bytes, 20, 4) {
        0 => Place::Raw { offset, size },
        1 => Place::Fill(u8::try_from(offset).ok()?),
        2 => Place::Decoded(offset),
        _ => return None,
    };
    Some(Run { at: number(bytes, 0, 8), place })
}

/// Whether all runs are in order and within the file and what was decoded.
fn fit(runs: &[Run], header: &Header, file: &Content) -> bool {
    let ends = runs.iter().skip(1).map(|run| run.at).chain([header.content]);
    let begins = runs.first().map_or(header.content == 0, |run| run.at == 0);
    begins
        && runs.iter().zip(ends).all(|(run, end)| {
            let Some(length) = end.checked_sub(run.at).filter(|it| *it > 0) else { return false };
            match run.place {
                Place::Raw { offset, size } if (1..=MAX_BLOCK).contains(&size) => {
                    let headers = (length - 1) / u64::from(size) * (stride(size) - u64::from(size));
                    let end = offset.checked_add(length).and_then(|it| it.checked_add(headers));
                    end.is_some_and(|end| end <= file.length())
                }
                Place::Raw { .. } => false,
                Place::Fill(_) => true,
                Place::Decoded(start) => {
                    start.checked_add(length).is_some_and(|end| end <= header.decoded)
                }
            }
        })
}

/// The little-endian number of these many bytes; there are as many.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at + length).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What was decoded, as it lies in an index: each piece is checked when it is first read.
#[derive(Debug)]
struct Checked {
    extent: Extent,
    path: PathBuf,
    sums: Box<[u64]>,
    good: Box<[AtomicBool]>,
}

impl Checked {
    fn check(&self, piece: usize) -> io::Result<()> {
        let Some(good) = self.good.get(piece) else { return Ok(()) };
        if good.load(Ordering::Relaxed) {
            return Ok(());
        }
        let bytes = self.extent.slice((piece * PIECE) as u64, PIECE as u64);
        let bytes = Content::Extent(bytes).read_all(PIECE as u64)?;
        let sum = number(&Sha256::digest(bytes), 0, SUM);
        if self.sums.get(piece) != Some(&sum) {
            // The next one to open the file makes it anew.
            drop(fs::remove_file(&self.path));
            let message = format!("the index {} was damaged and is removed", self.path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        good.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl ReadAt for Checked {
    fn length(&self) -> u64 {
        self.extent.length()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let end = position.saturating_add(buffer.len() as u64).min(self.extent.length());
        let piece = |position: u64| usize::try_from(position / PIECE as u64);
        if position < end {
            let first = piece(position).map_err(io::Error::other)?;
            let last = piece(end - 1).map_err(io::Error::other)?;
            for piece in first..=last {
                self.check(piece)?;
            }
        }
        self.extent.read_at(buffer, position)
    }
}
