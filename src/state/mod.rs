//! What was carried before, on the connected side: the states of imagesets, and where they are kept.
//!
//! A state is replaced whole, and only if it is still what it was when it was read: of two runs
//! that made the same sequence, one saves it and the other one fails.

mod document;
mod local;
mod location;
mod rebuild;
mod registry;
mod s3;

use std::fs::File;
use std::io;

pub use document::{Edition, Error as DocumentError, SCHEMA_VERSION, State};
pub use location::{Error as LocationError, Location};
pub use rebuild::Error as RebuildError;
pub use s3::{Aws, Problem as S3Problem};

use crate::client::Remote;
use crate::imageset::name::{self, Name};
use local::Local;
use registry::Registry;
use s3::S3;

/// The largest state that is read, in bytes: more than two million blobs.
pub const MAX_SIZE: u64 = 512 << 20;

/// How places that are not on this machine are reached.
#[derive(Clone, Debug)]
pub struct Access {
    /// Registries.
    pub remote: Remote,
    /// Object storage.
    pub aws: Aws,
}

/// Where the state of one imageset is kept.
#[derive(Debug)]
pub struct Store {
    imageset: String,
    place: String,
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Local(Local),
    Registry(Registry),
    S3(Box<S3>),
}

/// Which of its contents a place held: what a later save expects to find there still.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Version(String);

/// Held while a bundle of an imageset is made; ends with this value.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is held, not used")] Option<File>);

/// The bytes that a place holds.
#[derive(Debug)]
struct Stored {
    bytes: Vec<u8>,
    version: Version,
}

/// What a backend could not do; [`Store`] says where and for which imageset.
#[derive(Debug)]
enum Fault {
    /// The content is not what was expected.
    Conflict,
    /// Somebody else holds the lock.
    Locked,
    /// The content is no state, whatever its bytes are.
    Damaged(Version, DocumentError),
    /// The content is longer than [`MAX_SIZE`].
    TooLong,
    /// Anything else.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

/// Why a state could not be loaded or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place could not be read or written.
    #[error("cannot {action} the state of imageset {imageset} in {place}")]
    Failed {
        /// What was attempted.
        action: &'static str,
        /// The imageset.
        imageset: String,
        /// Where.
        place: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is kept there is no state that can be used.
    #[error("the state of imageset {imageset} in {place} is damaged")]
    Damaged {
        /// The imageset.
        imageset: String,
        /// Where.
        place: String,
        /// What to expect when it is replaced.
        version: Version,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// What is kept there belongs to another imageset.
    #[error("{place} keeps the state of imageset {found:?}, not that of {imageset}")]
    Foreign {
        /// The imageset.
        imageset: String,
        /// Where.
        place: String,
        /// Whose it is.
        found: String,
    },
    /// Somebody else changed it since it was loaded.
    #[error("the state of imageset {imageset} in {place} was changed meanwhile by somebody else")]
    Conflict {
        /// The imageset.
        imageset: String,
        /// Where.
        place: String,
    },
    /// Somebody else makes a bundle of the same imageset.
    #[error("another process works on imageset {imageset}, whose state is in {place}")]
    Locked {
        /// The imageset.
        imageset: String,
        /// Where.
        place: String,
    },
    /// A state that must not be saved, as one without an edition.
    #[error("cannot save the state of imageset {imageset}")]
    Document {
        /// The imageset.
        imageset: String,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// No name of an imageset.
    #[error(transparent)]
    Name(#[from] name::Error),
}

impl Store {
    /// Finds the place of the state of an imageset; connects to nothing, writes nothing.
    ///
    /// # Errors
    ///
    /// When the imageset's name cannot be one, or object storage is not set up as it must be.
    pub fn open(location: &Location, imageset: &str, access: &Access) -> Result<Self, Error> {
        imageset.parse::<Name>()?;
        let place = location.to_string();
        let failed = |fault| error("reach", imageset, &place, fault);
        let backend = match location {
            Location::Local(directory) => Backend::Local(Local::new(directory, imageset)),
            Location::Registry(reference) => {
                let registry = Registry::new(&access.remote, reference, imageset);
                let no_tag = || failed(Fault::Failed("its name cannot be a tag".into()));
                Backend::Registry(registry.ok_or_else(no_tag)?)
            }
            Location::S3 { bucket, prefix } => {
                let s3 = S3::new(bucket, prefix, imageset, &access.aws);
                Backend::S3(Box::new(s3.map_err(failed)?))
            }
        };
        Ok(Self { imageset: imageset.to_owned(), place, backend })
    }

    /// Whose state it is.
    #[must_use]
    pub fn imageset(&self) -> &str {
        &self.imageset
    }

    /// The place, as a URL.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Reads the state, and which one it is; nothing if there is none yet. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when what is there is no state, [`Error::Foreign`] when it is that of
    /// another imageset, [`Error::Failed`] when the place is out of reach.
    pub async fn load(&self) -> Result<Option<(State, Version)>, Error> {
        let read = match &self.backend {
            Backend::Local(local) => local.read().await,
            Backend::Registry(registry) => registry.read().await,
            Backend::S3(s3) => s3.read().await,
        };
        let Some(Stored { bytes, version }) = read.map_err(|fault| self.error("load", fault))?
        else {
            return Ok(None);
        };
        let (imageset, place) = (self.imageset.clone(), self.place.clone());
        let state = match State::parse(&bytes) {
            Ok(state) => state,
            Err(source) => return Err(Error::Damaged { imageset, place, version, source }),
        };
        if state.name != self.imageset {
            return Err(Error::Foreign { imageset, place, found: state.name });
        }
        Ok(Some((state, version)))
    }

    /// Replaces the state that was loaded as `expected`, or saves the first one; then it is
    /// there for good.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when somebody else changed it meanwhile: nothing was changed then.
    pub async fn save(&self, state: &State, expected: Option<&Version>) -> Result<Version, Error> {
        let imageset = self.imageset.clone();
        if state.name != imageset {
            let (place, found) = (self.place.clone(), state.name.clone());
            return Err(Error::Foreign { imageset, place, found });
        }
        let bytes = state.to_bytes().map_err(|source| Error::Document { imageset, source })?;
        let written = match &self.backend {
            Backend::Local(local) => local.write(bytes, expected).await,
            Backend::Registry(registry) => registry.write(bytes, expected).await,
            Backend::S3(s3) => s3.write(bytes, expected).await,
        };
        written.map_err(|fault| self.error("save", fault))
    }

    /// Removes the state that was loaded as `expected`.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when somebody else changed it meanwhile: it is there still then.
    pub async fn remove(&self, expected: &Version) -> Result<(), Error> {
        let removed = match &self.backend {
            Backend::Local(local) => local.remove(expected).await,
            Backend::Registry(registry) => registry.remove(expected).await,
            Backend::S3(s3) => s3.remove(expected).await,
        };
        removed.map_err(|fault| self.error("remove", fault))
    }

    /// Keeps others on this machine from working on the same imageset, where the place is a
    /// directory. Elsewhere the save decides.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] when somebody does so already.
    pub async fn lock(&self) -> Result<Lock, Error> {
        let locked = match &self.backend {
            Backend::Local(local) => local.lock().await.map(Some),
            Backend::Registry(_) | Backend::S3(_) => Ok(None),
        };
        locked.map(Lock).map_err(|fault| self.error("lock", fault))
    }

    fn error(&self, action: &'static str, fault: Fault) -> Error {
        error(action, &self.imageset, &self.place, fault)
    }
}

impl Fault {
    fn of(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed(error.into())
    }
}

fn error(action: &'static str, imageset: &str, place: &str, fault: Fault) -> Error {
    let (imageset, place) = (imageset.to_owned(), place.to_owned());
    let source: Box<dyn std::error::Error + Send + Sync> = match fault {
        Fault::Conflict => return Error::Conflict { imageset, place },
        Fault::Locked => return Error::Locked { imageset, place },
        Fault::Damaged(version, source) => {
            return Error::Damaged { imageset, place, version, source };
        }
        Fault::TooLong => {
            let limit = format!("it is longer than {MAX_SIZE} bytes");
            io::Error::new(io::ErrorKind::FileTooLarge, limit).into()
        }
        Fault::Failed(source) => source,
    };
    Error::Failed { action, imageset, place, source }
}
