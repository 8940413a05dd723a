//! What hauler says of the entries of an `index.json`: signatures and the like bear the name of the
//! image that they belong to, and only their kind tells them from it.
//!
//! ```text
//! "kind": "dev.hauler/image", "dev.hauler/imageIndex"
//!         "dev.hauler/sigs", "dev.hauler/atts", "dev.hauler/sboms"     pushed as sha256-<hex>.sig, …
//!         "dev.hauler/referrers/<hex>"                                 pushed without a tag
//! ```
//!
//! Before version 2 it was `dev.cosignproject.cosign`.
//! <https://github.com/hauler-dev/hauler/blob/main/pkg/consts/consts.go>

use std::collections::BTreeMap;

use crate::oci::{Descriptor, Digest, REF_NAME, Tag};

const KIND: &str = "kind";
const PREFIXES: [&str; 2] = ["dev.hauler/", "dev.cosignproject.cosign/"];

/// What an entry is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// What its name says.
    Image,
    /// Attached to the image of its name by a tag with this ending.
    Attached(&'static str),
    /// Refers to the image of its name.
    Referrer,
}

impl Kind {
    fn of(text: &str) -> Self {
        let kind = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
        match kind.and_then(|kind| kind.split('/').next()) {
            Some("sigs") => Self::Attached("sig"),
            Some("atts") => Self::Attached("att"),
            Some("sboms") => Self::Attached("sbom"),
            Some("referrers") => Self::Referrer,
            _ => Self::Image,
        }
    }
}

/// What hauler says of an entry.
#[derive(Clone, Debug)]
pub(super) struct Label {
    kind: Kind,
    /// Its name, or that of the image it belongs to.
    name: Option<Box<str>>,
}

impl Label {
    /// Reads the annotations of an entry; nothing when hauler did not write them.
    pub(super) fn of(entry: &Descriptor) -> Option<Self> {
        let text = |key: &str| entry.annotations.get(key).map(String::as_str);
        Some(Self { kind: Kind::of(text(KIND)?), name: text(REF_NAME).map(Box::from) })
    }
}

/// The images of a haul by their names.
pub(super) struct Images(BTreeMap<Box<str>, Digest>);

impl Images {
    /// Those among the entries that hauler labelled.
    pub(super) fn of<'a>(labelled: impl Iterator<Item = (&'a Label, &'a Digest)>) -> Self {
        let images = labelled.filter(|(label, _)| label.kind == Kind::Image);
        Self(images.filter_map(|(it, digest)| Some((it.name.clone()?, digest.clone()))).collect())
    }

    /// The tag of an entry, whose name says `tag`.
    pub(super) fn tag(&self, label: &Label, tag: Option<Tag>) -> Option<Tag> {
        let ending = match label.kind {
            Kind::Image => return tag,
            Kind::Referrer => return None,
            Kind::Attached(ending) => ending,
        };
        let image = self.0.get(label.name.as_ref()?)?;
        format!("{}-{}.{ending}", image.algorithm().name(), image.hex()).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::MediaType;

    #[test]
    fn what_is_attached_has_a_tag_of_its_own() {
        let entry = |kind: &str, name: &str| {
            let media_type = MediaType::OCI_MANIFEST.parse().unwrap();
            let mut entry = Descriptor::new(media_type, Digest::of(kind.as_bytes()), 1);
            entry.annotations.insert(KIND.into(), kind.into());
            entry.annotations.insert(REF_NAME.into(), name.into());
            entry
        };
        let kinds = [
            ("dev.hauler/sigs", Some("sig")),
            ("dev.hauler/image", None),
            ("dev.cosignproject.cosign/atts", Some("att")),
            ("dev.hauler/sboms/0123", Some("sbom")),
        ];
        let entries = kinds.map(|(kind, _)| entry(kind, "app/one:v1"));
        let labels = entries.each_ref().map(|it| (Label::of(it).unwrap(), &it.digest));
        let images = Images::of(labels.iter().map(|(label, digest)| (label, *digest)));
        let tag = |it: &Descriptor| {
            let tag = images.tag(&Label::of(it).unwrap(), "v1".parse().ok());
            tag.map(|it| it.to_string())
        };
        let image = Digest::of(b"dev.hauler/image");
        for (entry, (kind, ending)) in entries.iter().zip(kinds) {
            let attached = ending.map(|ending| format!("sha256-{}.{ending}", image.hex()));
            assert_eq!(tag(entry), Some(attached.unwrap_or_else(|| "v1".into())), "{kind}");
        }
        assert_eq!(tag(&entry("dev.hauler/referrers/0123", "app/one:v1")), None);
        assert_eq!(tag(&entry("dev.hauler/sigs", "app/two:v1")), None);
        assert_eq!(tag(&entry("else", "app/one:v1")).as_deref(), Some("v1"));
        let plain = Descriptor { annotations: BTreeMap::new(), ..entry("", "") };
        assert!(Label::of(&plain).is_none());
    }
}
