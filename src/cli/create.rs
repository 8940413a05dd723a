//! `shipperd create`: makes a bundle of images.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use clap::builder::RangedU64ValueParser;
use jiff::Timestamp;

use super::ExitStatus;
use super::hint::Advised;
use super::printer::{Printer, name, size};
use super::progress::{self, Progress, Unit};
use super::report::Report;
use super::signals::Signals;
use crate::client::{Credentials, Environment, Remote, Retries, Settings, Trust};
use crate::create::{self, Created, Error, Request, Wanted};
use crate::oci::Registry;
use crate::plan::image::Referrers;

/// The longest name of an imageset, in bytes: file names are made of it.
const MAX_NAME: usize = 128;

/// Make a bundle of images
///
/// Everything is resolved before a byte of a layer is fetched. Each blob is fetched once and
/// written straight to its place in DIR/NAME-1.sqfs; the file has that name when all of it is
/// there and on the disk. Signatures, attestations and other referrers are carried along. The
/// path of the bundle is printed on stdout.
///
/// Credentials are those of `podman login` and `docker login`. The same images give the same
/// bytes if SOURCE_DATE_EPOCH is set.
///
/// Exit status 1 if some of the images cannot be resolved; there is no bundle then.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A full reference (`quay.io/ns/name:tag`), or `oci:DIR[:REF]`, `oci-archive:FILE[:REF]`,
    /// `docker-archive:FILE[:REF]`
    #[arg(value_name = "IMAGE")]
    images: Vec<Wanted>,
    /// The name of the imageset; the bundle's file begins with it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The directory of the bundle
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Leave out signatures, attestations and other referrers
    #[arg(long)]
    no_referrers: bool,
    /// Speak plain HTTP to this registry; repeat it for more
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    plain_http: Vec<Registry>,
    /// Take any certificate from this registry; repeat it for more
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    tls_skip_verify: Vec<Registry>,
    /// Take credentials from this file only
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    /// How many transfers run at the same time
    #[arg(long, value_name = "N", default_value = "8",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=256))]
    parallel: usize,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let request = arguments.request()?;
    let remote = arguments.remote()?;
    let shown = Arc::new(Shown::new(printer));
    let runtime = super::runtime()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::take().context("cannot take over the signals")?;
        tokio::select! {
            created = create::create(&remote, &request, Arc::clone(&shown) as _) => Ok(created),
            signal = signals.next() => bail!("interrupted by {signal}"),
        }
    });
    // What still runs when the outcome is known has nothing to add to it.
    runtime.shutdown_background();
    let summary = shown.finish();
    match outcome? {
        Ok(created) => {
            if let Some(summary) = summary {
                printer.say(summary);
            }
            announce(&created, &request, printer)?;
            Ok(ExitStatus::Done)
        }
        Err(error @ Error::Images { .. }) => {
            printer.report(&Report::of(&error.into()));
            Ok(ExitStatus::No)
        }
        Err(error) => Err(error.into()),
    }
}

fn announce(created: &Created, request: &Request, printer: &Printer) -> anyhow::Result<()> {
    let Created { path, references, blobs, size: bytes, sequence, .. } = created;
    let imageset = &request.name;
    printer.say(format!(
        "sequence {sequence} of {imageset}: {references} references, {blobs} blobs, {}",
        size(*bytes)
    ));
    if printer.json() {
        printer.document(created)?;
    } else {
        printer.data(name(path.display()))?;
    }
    Ok(())
}

impl Arguments {
    fn request(&self) -> anyhow::Result<Request> {
        if self.images.is_empty() {
            let message = "there is nothing to carry".to_owned();
            let hint = "name images: `shipperd create --name apps quay.io/ns/name:tag`".to_owned();
            return Err(Advised { message, hint }.into());
        }
        let Some(name) = self.name.clone() else {
            let message = "the imageset has no name".to_owned();
            let hint = "give it one with `--name`: updates are found by it".to_owned();
            return Err(Advised { message, hint }.into());
        };
        let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || name.len() > MAX_NAME || !name.chars().all(fit) {
            bail!(
                "{name:?} cannot name an imageset: use at most {MAX_NAME} letters, digits, `.`, \
                 `_` and `-`, the first a letter or digit"
            );
        }
        let referrers = if self.no_referrers { Referrers::LeaveOut } else { Referrers::Carry };
        Ok(Request {
            images: self.images.clone(),
            name,
            output: self.output.clone(),
            referrers,
            parallel: self.parallel,
            created: moment(std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())?,
            id: None,
        })
    }

    fn remote(&self) -> anyhow::Result<Remote> {
        let environment = Environment::of_process();
        let credentials = Credentials::load(self.authfile.as_deref(), &environment)
            .context("cannot load the credentials for registries")?;
        let directories = Trust::directories(&environment);
        let trust = Trust::load(&self.plain_http, &self.tls_skip_verify, &directories)
            .context("cannot load the certificates for registries")?;
        Ok(Remote::new(Settings { credentials, trust, retries: Retries::PATIENT }))
    }
}

/// When the bundle is made: now, unless it is to be made the same again.
fn moment(source_date_epoch: Option<&str>) -> anyhow::Result<Timestamp> {
    let Some(text) = source_date_epoch else {
        return Ok(Timestamp::from_second(Timestamp::now().as_second())?);
    };
    let wrong = || format!("SOURCE_DATE_EPOCH is {text:?}, not a number of seconds since 1970");
    Timestamp::from_second(text.parse().with_context(wrong)?).with_context(wrong)
}

/// Shows how far it has come: first in images, then in bytes.
struct Shown {
    printer: Printer,
    now: Mutex<Option<Progress>>,
}

impl Shown {
    fn new(printer: &Printer) -> Self {
        Self { printer: printer.clone(), now: Mutex::new(None) }
    }

    /// Takes the bar away; answers how fast the last stage was.
    fn finish(&self) -> Option<String> {
        let progress = self.now.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let (done, time) = progress.finish();
        let rate = size(progress::rate(done, time));
        Some(format!("copied {} in {:.1} s, {rate}/s", size(done), time.as_secs_f64()))
    }
}

impl create::Progress for Shown {
    fn resolved(&self, done: usize, total: usize) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let total = total as u64;
        now.get_or_insert_with(|| Progress::new(&self.printer, "resolving", total, Unit::Images))
            .reach(done as u64);
    }

    fn begin(&self, bytes: u64) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolving) = now.take() {
            resolving.finish();
        }
        self.printer.detail(format!("copying {}", size(bytes)));
        *now = Some(Progress::new(&self.printer, "copying", bytes, Unit::Bytes));
    }

    fn advance(&self, bytes: i64) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = &*now {
            if bytes < 0 {
                progress.retreat(bytes.unsigned_abs());
            } else {
                progress.advance(bytes.unsigned_abs());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_can_be_made_as_of_a_moment() {
        assert_eq!(moment(Some("1795244400")).unwrap().to_string(), "2026-11-21T07:00:00Z");
        assert!(moment(Some("yesterday")).is_err());
        assert!(moment(Some("99999999999999")).is_err());
        assert!(moment(None).unwrap() > Timestamp::UNIX_EPOCH);
    }
}
