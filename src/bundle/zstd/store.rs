//! Where decoded bytes are kept: in memory while they are few, else in a file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::decode::Sink;
use super::index::{self, Draft, Identity};
use super::map::{Map, Run};
use super::{Error, Indexes};
use crate::extent::{Content, Extent, InMemory};

/// How many decoded bytes of a file are kept in memory.
const IN_MEMORY: usize = 8 << 20;
/// How much an index may hold in any case, in bytes.
const FREE: u64 = 64 << 20;
/// An index may hold one byte for so many others that are not in it: beyond that it would be a
/// copy rather than an index.
const OTHERS: u64 = 3;

/// Decoded bytes in the making.
#[derive(Debug)]
pub(super) struct Store<'a> {
    indexes: &'a Indexes,
    identity: Identity,
    /// How many may be kept.
    most: u64,
    kept: u64,
    memory: Vec<u8>,
    file: Option<Drafted>,
}

#[derive(Debug)]
enum Drafted {
    Index(Draft, PathBuf),
    /// A file that has no name any more.
    Nameless(BufWriter<File>, PathBuf),
}

impl<'a> Store<'a> {
    /// A store for what is decoded of a file; `plain` bytes of it need not be.
    pub(super) fn new(indexes: &'a Indexes, identity: Identity, plain: u64) -> Self {
        let most = match indexes {
            Indexes::Kept(_) => FREE.max(plain / OTHERS),
            Indexes::Temporary(_) => u64::MAX,
        };
        Self { indexes, identity, most, kept: 0, memory: Vec::new(), file: None }
    }

    /// Makes the map of what was decoded.
    pub(super) fn finish(
        mut self,
        file: &Content,
        runs: Box<[Run]>,
        length: u64,
    ) -> Result<Map, Error> {
        let file = file.clone();
        match self.file {
            None => {
                self.memory.shrink_to_fit();
                let decoded = Content::Packed(Arc::new(InMemory(self.memory)));
                Ok(Map { file, decoded, runs, length })
            }
            Some(Drafted::Nameless(writer, directory)) => {
                let written = writer.into_inner().map_err(io::IntoInnerError::into_error);
                let extent = written.and_then(|it| Extent::whole(Arc::new(it)));
                let decoded = Content::Extent(extent.map_err(failed(&directory))?);
                Ok(Map { file, decoded, runs, length })
            }
            Some(Drafted::Index(draft, path)) => {
                let finished = draft.finish(&path, &self.identity, &runs, length);
                let loaded = finished.and_then(|()| index::load(&path, &self.identity, &file));
                let lost = || io::Error::other("it is not what was written");
                loaded.and_then(|it| it.ok_or_else(lost)).map_err(failed(&path))
            }
        }
    }
}

impl Sink for Store<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.kept += bytes.len() as u64;
        if self.kept > self.most {
            return Err(Error::Packed);
        }
        if self.file.is_none() && self.memory.len() + bytes.len() <= IN_MEMORY {
            self.memory.extend(bytes);
            return Ok(());
        }
        if self.file.is_none() {
            let (place, begun) = match self.indexes {
                Indexes::Kept(directory) => {
                    let path = index::path(directory, &self.identity);
                    let draft = Draft::begin(&path);
                    (path.clone(), draft.map(|draft| Drafted::Index(draft, path)))
                }
                Indexes::Temporary(wanted) => {
                    let directory = wanted.ancestors().find(|it| it.is_dir());
                    let directory = directory.unwrap_or(Path::new(".")).to_owned();
                    let file = nameless(&directory);
                    (directory.clone(), file.map(|file| Drafted::Nameless(file, directory)))
                }
            };
            let file = self.file.insert(begun.map_err(failed(&place))?);
            file.write(&std::mem::take(&mut self.memory))?;
        }
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Ok(()),
        }
    }
}

impl Drafted {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Index(draft, path) => draft.write(bytes).map_err(failed(path)),
            Self::Nameless(file, path) => file.write_all(bytes).map_err(failed(path)),
        }
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Index { path: path.clone(), source }
}

/// A file without a name: nothing of it stays when it is closed.
fn nameless(directory: &Path) -> io::Result<BufWriter<File>> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = directory.join(format!(".shipperd-{}-{number}.partial", std::process::id()));
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}
