//! Names that a request may write and that mean different contents: in different registries,
//! or in different imagesets.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use super::overlay::Overlay;
use super::snapshot::Snapshot;
use crate::oci::{Digest, Name, Tag};

/// A name that means different contents.
#[derive(Clone, Debug, Serialize)]
pub struct Ambiguous {
    /// The name, as a request writes it.
    pub name: String,
    /// What the contents differ by.
    pub between: Between,
    /// What it means; the first is what is served.
    pub meanings: Vec<Meaning>,
}

/// What the contents of one name differ by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Between {
    /// The path is there in more than one registry.
    Registries,
    /// The full name is there in more than one imageset.
    Imagesets,
}

/// One of the contents of a name.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Meaning {
    /// The registry or the imageset; empty for what no registry is known of.
    pub of: String,
    /// The manifest.
    pub digest: Digest,
}

impl fmt::Display for Ambiguous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, between, meanings } = self;
        let what = match between {
            Between::Registries => "registries",
            Between::Imagesets => "imagesets",
        };
        write!(f, "{name} means different images in different {what}")?;
        match meanings.first() {
            Some(served) if served.of.is_empty() => f.write_str("; that of no registry is served"),
            Some(served) => write!(f, "; that of {} is served", served.of.escape_debug()),
            None => Ok(()),
        }
    }
}

impl Overlay {
    /// The names that mean different contents.
    #[must_use]
    pub fn ambiguous(&self) -> Vec<Ambiguous> {
        let mut ambiguous = Vec::new();
        for (path, names) in self.paths().filter(|(_, names)| names.len() > 1) {
            for tag in self.tags_of(names, "", usize::MAX) {
                let served = self.tagged(names, &tag).map(|(_, digest)| digest);
                let meanings = names.iter().filter_map(|name| {
                    let (_, digest) = self.tagged([name], &tag)?;
                    let of = name.registry.as_ref().map_or_else(String::new, ToString::to_string);
                    Some(Meaning { of, digest })
                });
                let between = Between::Registries;
                let name = format!("{path}:{tag}");
                ambiguous.extend(differing(name, between, meanings.collect(), served.as_ref()));
            }
        }
        for (name, tag) in self.shared() {
            let mut meanings: BTreeMap<Uuid, Meaning> = BTreeMap::new();
            let mut order = Vec::new();
            for (snapshot, digest) in self.all_tagged([&name], &tag) {
                let Some((id, of)) = imageset(snapshot) else { continue };
                meanings.entry(id).or_insert_with(|| {
                    order.push(id);
                    Meaning { of: of.to_owned(), digest }
                });
            }
            let meanings = order.iter().filter_map(|id| meanings.remove(id)).collect();
            let between = Between::Imagesets;
            ambiguous.extend(differing(format!("{name}:{tag}"), between, meanings, None));
        }
        ambiguous
    }

    /// The names and tags that more than one imageset has.
    fn shared(&self) -> BTreeSet<(Name, Tag)> {
        let mut imagesets: BTreeMap<&Name, HashSet<Uuid>> = BTreeMap::new();
        for snapshot in self.snapshots() {
            let Some((id, _)) = imageset(snapshot) else { continue };
            for name in snapshot.bundle().index.names().keys() {
                imagesets.entry(name).or_default().insert(id);
            }
        }
        let shared = imagesets.into_iter().filter(|(_, ids)| ids.len() > 1);
        let tags = shared.flat_map(|(name, _)| {
            let tags = self.tags_of(&BTreeSet::from([name.clone()]), "", usize::MAX);
            tags.into_iter().map(|tag| (name.clone(), tag))
        });
        tags.collect()
    }
}

fn imageset(snapshot: &Snapshot) -> Option<(Uuid, &str)> {
    let record = &snapshot.bundle().edition.as_ref()?.record;
    Some((record.id, &record.name))
}

/// What is served comes first; nothing when all mean the same.
fn differing(
    name: String,
    between: Between,
    mut meanings: Vec<Meaning>,
    served: Option<&Digest>,
) -> Option<Ambiguous> {
    let digests: BTreeSet<_> = meanings.iter().map(|it| &it.digest).collect();
    if digests.len() < 2 {
        return None;
    }
    if let Some(served) = served {
        meanings.sort_by_key(|it| it.digest != *served);
    }
    Some(Ambiguous { name, between, meanings })
}
