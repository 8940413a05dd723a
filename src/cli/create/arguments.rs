//! What the command line says of a creation.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use clap::builder::RangedU64ValueParser;
use jiff::Timestamp;

use super::configuration::Configuration;
use crate::cli::hint::Advised;
use crate::cli::place::Place;
use crate::cli::printer::{Printer, name};
use crate::cli::reach::Reach;
use crate::client::Remote;
use crate::create::{Follows, Request};
use crate::imageset::config::Storage;
use crate::imageset::name::Name;
use crate::plan::Wanted;
use crate::plan::additional::Additional;
use crate::plan::image::Referrers;
use crate::state::{Location, Store};

/// Make the next bundle of an imageset
///
/// The first bundle of a name is sequence 1 and holds everything. The state remembers what it
/// carried, so the next one holds only what is new; without anything new, none is made.
///
/// Everything is resolved before a byte of a layer is fetched. Each blob is fetched once and
/// written straight to its place in DIR/NAME-SEQUENCE.sqfs; the file has that name when all of it
/// is there and on the disk. Signatures, attestations and other referrers are carried along. The
/// path of the bundle is printed on stdout. A run that failed or was killed is gone on with by
/// the same command: nothing that is there is fetched again.
///
/// Credentials are those of `podman login` and `docker login`. The same state and images give the
/// same bytes if SOURCE_DATE_EPOCH is set.
///
/// Exit status 1 if some of the images are not carried; without --keep-going there is no bundle
/// then.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// A full reference (`quay.io/ns/name:tag`), or `oci:DIR[:REF]`, `oci-archive:FILE[:REF]`,
    /// `docker-archive:FILE[:REF]`
    #[arg(value_name = "IMAGE")]
    images: Vec<Wanted>,
    /// The images to carry, as oc-mirror's ImageSetConfiguration (v1alpha2 or v2alpha1)
    // SHIPPERD_CONFIG names the file that sets flags.
    #[arg(long, short, value_name = "FILE", env = "SHIPPERD_IMAGESET_CONFIG")]
    config: Option<PathBuf>,
    /// The name of the imageset; the bundle's file begins with it [default: the configuration's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The directory of the bundle
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Begin again: sequence 1 of a new imageset, with everything
    #[arg(long, conflicts_with = "since")]
    full: bool,
    /// Go on from sequence N: what came after it never arrived, and is made again
    #[arg(long, value_name = "N")]
    since: Option<u64>,
    /// Make no file larger than this: `4GiB`, `4700MB`; a number alone means GiB
    #[arg(long, value_name = "SIZE")]
    archive_size: Option<ArchiveSize>,
    /// Leave out what is not to be had, and say so at the end and in the bundle
    #[arg(long)]
    keep_going: bool,
    /// Only say what would be made, and what it takes; writes nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave out signatures, attestations and other referrers
    #[arg(long)]
    no_referrers: bool,
    #[command(flatten)]
    reach: Reach,
    /// How many transfers run at the same time
    #[arg(long, value_name = "N", default_value = "8",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=256))]
    parallel: usize,
}

impl Arguments {
    /// The configuration, if there is one.
    pub(super) fn configuration(&self) -> anyhow::Result<Option<Configuration>> {
        self.config.as_deref().map(Configuration::load).transpose()
    }

    /// What is to be made. `printer` is told of what the configuration blocks.
    pub(super) fn request(
        &self,
        configuration: Option<&Configuration>,
        printer: &Printer,
    ) -> anyhow::Result<Request> {
        let config = configuration.map(|it| &it.config);
        let Additional { mut wanted, blocked } = config.map(Additional::of).unwrap_or_default();
        for (image, expression) in blocked {
            printer.say(format!("{} is blocked by {expression:?}", name(image)));
        }
        wanted.extend(self.images.iter().cloned());
        if wanted.is_empty() {
            let message = "there is nothing to carry".to_owned();
            let hint = "name images: `shipperd create --name apps quay.io/ns/name:tag`".to_owned();
            return Err(Advised { message, hint }.into());
        }
        let named = self.name.clone().or_else(|| configuration?.name());
        let Some(imageset) = named else {
            let message = "the imageset has no name".to_owned();
            let hint = "give it one with `--name`: updates are found by it".to_owned();
            return Err(Advised { message, hint }.into());
        };
        let imageset: Name = imageset.parse()?;
        let carried = !self.no_referrers && config.is_none_or(|it| it.shipperd.referrers);
        let archive_size = self.archive_size.map(|ArchiveSize(bytes)| bytes);
        Ok(Request {
            images: wanted,
            name: imageset.to_string(),
            output: self.output.clone(),
            config: configuration.map(|it| it.text.clone()),
            follows: match (self.full, self.since) {
                (true, _) => Follows::Nothing,
                (false, Some(sequence)) => Follows::Since(sequence),
                (false, None) => Follows::Latest,
            },
            referrers: if carried { Referrers::Carry } else { Referrers::LeaveOut },
            archive_size: archive_size.or_else(|| config?.archive_size),
            parallel: self.parallel,
            created: created()?,
            keep_going: self.keep_going,
            dry_run: self.dry_run,
        })
    }

    /// Where the state is kept: as the command line says, else the configuration.
    pub(super) fn store(
        &self,
        configuration: Option<&Configuration>,
        imageset: &str,
        remote: &Remote,
    ) -> anyhow::Result<Store> {
        let storage = configuration.and_then(|it| it.config.storage.as_ref());
        let configured = storage.map(|storage| match storage {
            Storage::Local { path } => Location::Local(path.clone()),
            Storage::Registry { image, .. } => Location::Registry(image.clone()),
        });
        self.place.store(configured, imageset, remote.clone())
    }

    /// How registries are reached.
    pub(super) fn remote(&self, configuration: Option<&Configuration>) -> anyhow::Result<Remote> {
        let storage = configuration.and_then(|it| it.config.storage.as_ref());
        self.reach.remote(storage.and_then(|storage| match storage {
            Storage::Registry { image, skip_tls: true } => Some(&image.registry),
            Storage::Registry { .. } | Storage::Local { .. } => None,
        }))
    }
}

/// When a bundle is said to be made, if SOURCE_DATE_EPOCH says it.
pub(in crate::cli) fn created() -> anyhow::Result<Option<Timestamp>> {
    moment(std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())
}

fn moment(source_date_epoch: Option<&str>) -> anyhow::Result<Option<Timestamp>> {
    let Some(text) = source_date_epoch else { return Ok(None) };
    let wrong = || format!("SOURCE_DATE_EPOCH is {text:?}, not a number of seconds since 1970");
    Timestamp::from_second(text.parse().with_context(wrong)?).with_context(wrong).map(Some)
}

/// The size that no bundle may exceed, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::cli) struct ArchiveSize(pub(in crate::cli) u64);

impl FromStr for ArchiveSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
        let unit: u64 = match unit.trim_start() {
            "" | "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "MiB" => 1 << 20,
            "KiB" => 1 << 10,
            "TB" => 1_000_000_000_000,
            "GB" => 1_000_000_000,
            "MB" => 1_000_000,
            _ => return Err("a size is a number and MiB, GiB, TiB, MB, GB or TB".to_owned()),
        };
        let number: u64 = number.parse().map_err(|_| "a size begins with a number".to_owned())?;
        let bytes = number.checked_mul(unit).filter(|bytes| *bytes > 0);
        bytes.map(Self).ok_or_else(|| "that is no size a file can have".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_can_be_made_as_of_a_moment() {
        let made = moment(Some("1795244400")).unwrap().unwrap();
        assert_eq!(made.to_string(), "2026-11-21T07:00:00Z");
        assert!(moment(Some("yesterday")).is_err());
        assert!(moment(Some("99999999999999")).is_err());
        assert_eq!(moment(None).unwrap(), None);
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("4", Some(4 << 30)),
            ("4 GiB", Some(4 << 30)),
            ("100MiB", Some(100 << 20)),
            ("4700MB", Some(4_700_000_000)),
            ("0", None),
            ("", None),
            ("GiB", None),
            ("-1GiB", None),
            ("1.5GiB", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(text.parse().ok(), expected.map(ArchiveSize), "{text}");
        }
    }
}
