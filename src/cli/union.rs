//! What stacked bundles hold together: each blob once, each name with its newest meaning.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::printer::Printer;
use crate::bundle::Bundle;
use crate::bundle::index::Ordinal;
use crate::bundle::tree::Stored;
use crate::content::snapshot::Snapshot;
use crate::oci::{self, Descriptor, Digest, Name};

/// What stacked bundles hold together.
pub(super) struct Union<'a> {
    /// The uppermost first.
    stack: Vec<&'a Bundle>,
    /// Each blob once, sorted by digest, and the uppermost bundle that holds it.
    pub(super) blobs: Vec<(&'a Digest, &'a Stored, &'a Bundle)>,
}

impl<'a> Union<'a> {
    pub(super) fn of(stack: &'a [Arc<Snapshot>]) -> Self {
        let stack: Vec<&Bundle> = stack.iter().map(|it| it.bundle()).collect();
        let mut blobs = BTreeMap::new();
        for bundle in &stack {
            for (digest, stored) in bundle.index.blobs() {
                blobs.entry(digest).or_insert((stored, *bundle));
            }
        }
        let blobs = blobs.into_iter();
        let blobs = blobs.map(|(digest, (stored, bundle))| (digest, stored, bundle)).collect();
        Self { stack, blobs }
    }

    /// The bytes of all blobs.
    pub(super) fn bytes(&self) -> u64 {
        self.blobs.iter().map(|(_, stored, _)| stored.length()).sum()
    }

    /// The index of a layout that carries all references whose manifests are here.
    ///
    /// What a tag of an older sequence meant is carried by its digest if the tag moved.
    pub(super) fn index(&self) -> Result<oci::Index, oci::Error> {
        let mut names: BTreeMap<&Name, Names<'_>> = BTreeMap::new();
        for bundle in &self.stack {
            let index = &bundle.index;
            for (name, repository) in index.names() {
                let known = names.entry(name).or_default();
                let digest = |place: Ordinal| index.digest(place);
                for (tag, place) in &repository.tags {
                    let Some(digest) = digest(*place) else { continue };
                    known.all.insert(digest);
                    known.tags.entry(tag.as_str()).or_insert(digest);
                }
                known.all.extend(repository.roots.iter().filter_map(|place| digest(*place)));
            }
        }
        let mut manifests = Vec::new();
        for (name, Names { tags, all }) in names {
            let tagged: BTreeSet<&Digest> = tags.values().copied().collect();
            let tags = tags.into_iter().map(|(tag, digest)| (format!("{name}:{tag}"), digest));
            let bare = all.difference(&tagged).map(|digest| (format!("{name}@{digest}"), *digest));
            for (reference, digest) in tags.chain(bare) {
                let Some(mut descriptor) = self.describe(digest) else { continue };
                let keys = [oci::REF_NAME, oci::CONTAINERD_NAME].into_iter();
                let annotations = keys.map(|key| (key.to_owned(), reference.clone()));
                descriptor.annotations.extend(annotations);
                manifests.push(descriptor);
            }
        }
        oci::Index::new(manifests)
    }

    fn describe(&self, digest: &Digest) -> Option<Descriptor> {
        self.stack.iter().find_map(|bundle| {
            let index = &bundle.index;
            let blob = index.find(digest)?;
            let (media_type, (_, stored)) = (index.media_type(blob)?, index.blob(blob)?);
            Some(Descriptor::new(media_type.clone(), digest.clone(), stored.length()))
        })
    }

    /// Says what the images need and is not here, but for what was left out on purpose.
    pub(super) fn say_what_is_absent(&self, printer: &Printer) {
        let records = || self.stack.iter().filter_map(|it| Some(&it.edition.as_ref()?.record));
        let sparse: HashSet<&Digest> = records().flat_map(|it| &it.sparse).collect();
        let needs: HashSet<&Digest> =
            records().flat_map(|it| &it.needs).map(|need| &need.digest).collect();
        let absent = self.stack.iter().flat_map(|it| it.index.absent()).map(|it| &it.digest);
        let named = self.stack.iter().flat_map(|it| it.index.elsewhere()).map(|it| &it.digest);
        let all: BTreeSet<&Digest> = absent.chain(named).chain(needs.iter().copied()).collect();
        let here = |digest: &&Digest| self.blobs.binary_search_by(|it| it.0.cmp(digest)).is_ok();
        let absent = all.into_iter().filter(|it| !here(it) && !sparse.contains(it));
        // Of several bundles all parts are here, or none.
        let part = self.stack.len() == 1 && records().any(|it| it.part.is_some());
        let (earlier, lacking): (Vec<_>, Vec<_>) =
            absent.partition(|it| part || needs.contains(it));
        for digest in earlier.iter().chain(&lacking) {
            printer.detail(format!("not in the layout: {digest}"));
        }
        if !earlier.is_empty() {
            let count = earlier.len();
            let what = if part { "earlier sequences or other parts" } else { "earlier sequences" };
            printer.warn(format!(
                "{count} blobs of {what} are not in the layout: extract those bundles \
                 together with this one"
            ));
        }
        if !lacking.is_empty() {
            let count = lacking.len();
            printer.warn(format!("the layout lacks {count} blobs that its manifests name"));
        }
    }
}

/// What the bundles say of one repository.
#[derive(Default)]
struct Names<'a> {
    /// What each tag means.
    tags: BTreeMap<&'a str, &'a Digest>,
    /// Every manifest, with or without a tag.
    all: BTreeSet<&'a Digest>,
}
