//! `publish/.metadata.json`: which archive of oc-mirror v1 this is, and which images it has.
//!
//! Only what is needed is kept, fields that are not known are passed over. What follows the first
//! JSON value does not count: oc-mirror wrote shorter metadata over longer without cutting it.
//! <https://github.com/openshift/oc-mirror/blob/main/v1/pkg/api/v1alpha2/types_metadata.go>

use std::borrow::Cow;
use std::fmt;
use std::io::{BufReader, Read};
use std::marker::PhantomData;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::oci::{Digest, Repository};

/// How many images one archive may list: more than all catalogs have, platforms counted.
const MAX_IMAGES: usize = 1 << 18;
/// How many layers or platforms one image may list.
const MAX_DIGESTS: usize = 1 << 12;
/// How many catalogs one archive may list.
const MAX_CATALOGS: usize = 1 << 10;
/// The longest word that is kept, in bytes: a reference has less.
const MAX_WORD: usize = 1024;
/// How the names of the images begin that oc-mirror puts graph data on, and their tag.
const BASES: (&str, &str) = ("registry.access.redhat.com/ubi", "latest");
/// How many of them are kept.
const MAX_BASES: usize = 64;
/// What oc-mirror calls a release.
const RELEASE: &str = "ocpRelease";
/// What oc-mirror calls an image that was asked for by name.
const GENERIC: &str = "generic";

/// The metadata of an archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Metadata {
    /// The workspace whose archives follow one another.
    pub uid: Uuid,
    /// Which one this is, from 1.
    pub sequence: u64,
    /// Whether no workspace is kept: the archive stands alone.
    pub single_use: bool,
    /// The images of this archive, with what earlier archives have of them.
    pub images: Vec<Image>,
    /// The images that were asked for by name.
    pub asked_for: Vec<String>,
    /// The catalogs that were asked for.
    pub catalogs: Vec<Catalog>,
    /// The images that graph data may be put on, of this archive and of all before it.
    pub graph_bases: Vec<Digest>,
}

/// An image, or one platform of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    /// What its source calls it; its digest alone if it is a platform of another one.
    pub name: String,
    /// The repository that oc-mirror puts it in.
    pub repository: Option<Repository>,
    /// The digest of its manifest.
    pub digest: Option<Digest>,
    /// The tag that oc-mirror gives it; nothing if it has none.
    pub tag: String,
    /// Whether it came by a name whose tag oc-mirror keeps.
    pub keeps_tag: bool,
    /// Its platforms.
    pub manifests: Vec<Digest>,
    /// Its layers and its configuration.
    pub blobs: Vec<Digest>,
}

/// A catalog, and what to call it here.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Catalog {
    /// What its source calls it.
    pub catalog: Word,
    /// Its repository here, if that is another one.
    pub target_catalog: Word,
    /// The last part of its repository here, if that is another one.
    pub target_name: Word,
    /// Its tag here, if that is another one.
    pub target_tag: Word,
}

/// A text that is no longer than a name can be; else empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Word(pub String);

impl Metadata {
    /// Reads metadata from its first byte on, to the end of the first JSON value.
    ///
    /// # Errors
    ///
    /// When that is no metadata, or has more images than an archive may have.
    pub fn read(from: impl Read) -> Result<Self, serde_json::Error> {
        let mut values = serde_json::Deserializer::from_reader(BufReader::new(from));
        let Document { uid, single_use, past_mirror, past_associations } =
            Document::deserialize(&mut values)?;
        let Past { sequence, mirror, associations } = past_mirror;
        let bases = associations.0.iter().filter_map(Association::base).take(MAX_BASES);
        let graph_bases = bases.chain(past_associations.0).collect();
        let asked_for = mirror.additional_images.0.into_iter().map(|it| it.name.0);
        Ok(Self {
            uid,
            sequence,
            single_use,
            images: associations.0.into_iter().map(Image::of).collect(),
            asked_for: asked_for.collect(),
            catalogs: mirror.operators.0,
            graph_bases,
        })
    }
}

impl Image {
    fn of(association: Association) -> Self {
        let Association { name, path, id, tag_symlink, kind, .. } = association;
        Self {
            name: name.0,
            repository: path.0.parse().ok(),
            digest: id.0.parse().ok(),
            tag: tag_symlink.0,
            keeps_tag: matches!(kind.0.as_str(), RELEASE | GENERIC),
            manifests: Association::digests(association.manifest_digests),
            blobs: Association::digests(association.layer_digests),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    uid: Uuid,
    #[serde(default)]
    single_use: bool,
    past_mirror: Past,
    #[serde(default)]
    past_associations: Bases,
}

#[derive(Deserialize)]
struct Past {
    sequence: u64,
    #[serde(default)]
    mirror: Mirror,
    #[serde(default)]
    associations: List<Association, MAX_IMAGES>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Mirror {
    additional_images: List<Named, MAX_IMAGES>,
    operators: List<Catalog, MAX_CATALOGS>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: Word,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Association {
    name: Word,
    path: Word,
    id: Word,
    tag_symlink: Word,
    #[serde(rename = "type")]
    kind: Word,
    manifest_digests: List<Word, MAX_DIGESTS>,
    layer_digests: List<Word, MAX_DIGESTS>,
}

impl Association {
    /// Its digest, if graph data may be put on it.
    fn base(&self) -> Option<Digest> {
        let (begins, tag) = BASES;
        let is_base = self.name.0.starts_with(begins) && self.tag_symlink.0 == tag;
        is_base.then(|| self.id.0.parse().ok())?
    }

    /// What an image of this name is, without the digests that are none.
    fn digests(words: List<Word, MAX_DIGESTS>) -> Vec<Digest> {
        words.0.into_iter().filter_map(|it| it.0.parse().ok()).collect()
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<Cow<'de, str>>::deserialize(deserializer)?.unwrap_or_default();
        Ok(if text.len() > MAX_WORD { Self::default() } else { Self((*text).to_owned()) })
    }
}

/// A list of at most so many elements; Go writes `null` for an empty one.
struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Elements(PhantomData))
    }
}

struct Elements<T, const MAX: usize>(PhantomData<fn() -> T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
    type Value = List<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX}")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(List::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            if elements.len() == MAX {
                return Err(de::Error::invalid_length(MAX.saturating_add(1), &self));
            }
            elements.push(element);
        }
        Ok(List(elements))
    }
}

/// Of all images that were ever carried those that graph data may be put on.
#[derive(Default)]
struct Bases(Vec<Digest>);

impl<'de> Deserialize<'de> for Bases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Ever)
    }
}

/// Keeps nothing else of a list that grows with every archive.
struct Ever;

impl<'de> Visitor<'de> for Ever {
    type Value = Bases;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Bases, E> {
        Ok(Bases::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Bases, A::Error> {
        let mut bases = Vec::new();
        while let Some(association) = list.next_element::<Association>()? {
            bases.extend(association.base().filter(|_| bases.len() < MAX_BASES));
        }
        Ok(Bases(bases))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "3ab2af8cd94bff7a0a35990eaf8bc23f92bf29f1da0631fc9aceb7345d2fe3be";

    fn with(associations: &str) -> String {
        format!(
            r#"{{"kind":"Metadata","uid":"75e0ae15-9009-4711-896c-d88065c49165","later":[{{}}],
                "pastMirror":{{"sequence":2,"mirror":{{"platform":{{}},"operators":null,
                "additionalImages":[{{"name":"quay.io/a/b:v1"}}]}},"associations":{associations}}},
                "pastAssociations":null}}"#
        )
    }

    #[test]
    fn what_is_needed_is_read_and_the_rest_passed_over() {
        let long = "x".repeat(2000);
        let text = with(&format!(
            r#"[{{"name":"quay.io/a/b@sha256:{HEX}","path":"a/b","id":"sha256:{HEX}","new":1,
                "tagSymlink":"v1","type":"generic","manifestDigests":["sha256:{HEX}","no"]}},
                {{"name":"{long}","path":"../etc","id":"sha256:..","type":"operatorBundle",
                "layerDigests":null}}]"#
        ));
        let metadata = Metadata::read(text.as_bytes()).unwrap();
        assert_eq!(Metadata::read(format!("{text} tail }}}}").as_bytes()).unwrap(), metadata);
        assert_eq!((metadata.sequence, metadata.single_use), (2, false));
        assert_eq!(metadata.asked_for, ["quay.io/a/b:v1"]);
        let [image, odd] = metadata.images.as_slice() else { panic!("{metadata:?}") };
        assert_eq!(image.repository, "a/b".parse().ok());
        assert!(image.digest.is_some() && image.keeps_tag);
        assert_eq!((image.manifests.len(), image.blobs.len()), (1, 0));
        assert_eq!((odd.name.as_str(), &odd.repository, &odd.digest), ("", &None, &None));
        assert!(!odd.keeps_tag);
    }

    #[test]
    fn what_is_none_is_refused() {
        let many = format!("[{}{{}}]", "{},".repeat(MAX_IMAGES));
        for text in ["", "{}", "[]", "null", r#"{"uid":"x"}"#, &with("{}"), &with("[1]")] {
            assert!(Metadata::read(text.as_bytes()).is_err(), "{text}");
        }
        let error = Metadata::read(with(&many).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("at most 262144"), "{error}");
    }
}
