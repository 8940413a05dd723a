//! States in a directory: `NAME.json`, replaced whole and on the disk before it counts.
//!
//! ```text
//! NAME.json            the state
//! NAME.json.partial    one being written; whoever replaces the state holds its lock
//! NAME.lock            held while a bundle of the imageset is made
//! ```

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::{Fault, MAX_SIZE, Stored, Version};
use crate::oci::Digest;

/// The state of one imageset in a directory.
#[derive(Clone, Debug)]
pub(super) struct Local {
    directory: PathBuf,
    imageset: String,
}

/// What the operating system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path:?}")]
struct Refused {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Local {
    pub(super) fn new(directory: &Path, imageset: &str) -> Self {
        Self { directory: directory.to_owned(), imageset: imageset.to_owned() }
    }

    /// Reads the state; writes nothing.
    pub(super) async fn read(&self) -> Result<Option<Stored>, Fault> {
        self.apart(Self::stored).await
    }

    /// Replaces the state if it is what is expected.
    pub(super) async fn write(
        &self,
        bytes: Vec<u8>,
        expected: Option<&Version>,
    ) -> Result<Version, Fault> {
        let expected = expected.cloned();
        self.apart(move |it| {
            it.make_directory()?;
            let (mut file, partial) = it.begin()?;
            it.compare(expected.as_ref())?;
            file.set_len(0).map_err(refused("empty", &partial))?;
            file.write_all(&bytes).map_err(refused("write", &partial))?;
            file.sync_all().map_err(refused("sync", &partial))?;
            fs::rename(&partial, it.path("json")).map_err(refused("rename", &partial))?;
            it.sync_directory()?;
            Ok(version(&bytes))
        })
        .await
    }

    /// Removes the state if it is what is expected.
    pub(super) async fn remove(&self, expected: &Version) -> Result<(), Fault> {
        let expected = expected.clone();
        self.apart(move |it| {
            let (_held, partial) = it.begin()?;
            it.compare(Some(&expected))?;
            let path = it.path("json");
            fs::remove_file(&path).map_err(refused("remove", &path))?;
            fs::remove_file(&partial).map_err(refused("remove", &partial))?;
            it.sync_directory()
        })
        .await
    }

    /// Takes the lock of the imageset; whoever holds the file holds it.
    pub(super) async fn lock(&self) -> Result<File, Fault> {
        self.apart(|it| {
            it.make_directory()?;
            let path = it.path("lock");
            let file = open(&path)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(file),
                Err(Errno::WOULDBLOCK) => Err(Fault::Locked),
                Err(error) => Err(refused("lock", &path)(error.into())),
            }
        })
        .await
    }

    /// Opens and locks the file that becomes the state. Others wait for it: a moment.
    fn begin(&self) -> Result<(File, PathBuf), Fault> {
        let path = self.path("json.partial");
        loop {
            let file = open(&path)?;
            rustix::fs::flock(&file, FlockOperation::LockExclusive)
                .map_err(|error| refused("lock", &path)(error.into()))?;
            // Whoever held it before may have renamed or removed it.
            if is_at(&file, &path).map_err(refused("look at", &path))? {
                return Ok((file, path));
            }
        }
    }

    fn compare(&self, expected: Option<&Version>) -> Result<(), Fault> {
        let found = self.stored()?.map(|stored| stored.version);
        if found.as_ref() == expected { Ok(()) } else { Err(Fault::Conflict) }
    }

    fn stored(&self) -> Result<Option<Stored>, Fault> {
        let path = self.path("json");
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(refused("open", &path))?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(refused("read", &path))?;
        if bytes.len() as u64 > MAX_SIZE {
            return Err(Fault::TooLong);
        }
        let version = version(&bytes);
        Ok(Some(Stored { bytes, version }))
    }

    fn make_directory(&self) -> Result<(), Fault> {
        fs::create_dir_all(&self.directory).map_err(refused("create", &self.directory))
    }

    fn sync_directory(&self) -> Result<(), Fault> {
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(refused("sync", &self.directory))
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.imageset))
    }

    /// Does what may wait for the disk.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let it = self.clone();
        tokio::task::spawn_blocking(move || work(&it)).await.map_err(Fault::of)?
    }
}

fn version(bytes: &[u8]) -> Version {
    Version(Digest::of(bytes).to_string())
}

fn open(path: &Path) -> Result<File, Fault> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    options.open(path).map_err(refused("open", path))
}

/// Whether `path` still names `file`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn refused(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Fault {
    let path = path.to_owned();
    move |source| Fault::of(Refused { action, path, source })
}
