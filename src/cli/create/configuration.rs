//! The configuration file of an imageset, read for a creation.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cli::hint::Advised;
use crate::imageset::config::Config;

/// The longest file that is read, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// A configuration, and the file it comes from.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) config: Config,
}

impl Configuration {
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        let attempted = || format!("cannot use the configuration {path:?}");
        let mut text = String::new();
        let file = File::open(path).with_context(attempted)?;
        file.take(MAX_SIZE + 1).read_to_string(&mut text).with_context(attempted)?;
        let config = Config::parse(&text).with_context(attempted)?;
        let unsupported = config.unsupported();
        if !unsupported.is_empty() {
            let what = unsupported.join(", ");
            let message =
                format!("the configuration {path:?} asks for what is not built yet: {what}");
            let hint = "take that out: this shipperd carries `mirror.additionalImages`".to_owned();
            return Err(Advised { message, hint }.into());
        }
        Ok(Self { path: path.to_owned(), text, config })
    }

    /// The name that the imageset has if nobody says another: its own, else that of the file.
    pub(super) fn name(&self) -> Option<String> {
        let own = self.config.shipperd.name.as_ref().map(ToString::to_string);
        own.or_else(|| Some(self.path.file_stem()?.to_str()?.to_owned()))
    }
}
