//! Archives of oc-mirror v1: which files are one, which archives follow one another, and which of
//! them may be served: by oc-mirror's rules, and in its words.
//!
//! The archives of a workspace are numbered. One that comes out of order is served all the same
//! when everything that it names is here; else it waits for those before it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::acceptance::{self, Fate, Served};
use super::archives::{self, Key};
use super::live::State;
use super::snapshot::Snapshot;
use crate::bundle::mirror_v1::Edition;
use crate::oci::Digest;

/// What becomes of the files of archives.
pub(super) struct Workspaces<'a> {
    open: &'a [Arc<Snapshot>],
    /// The archives, each with its files by their places.
    archives: Vec<Archive<'a>>,
    fates: BTreeMap<Place, Fate>,
}

/// A file's place among those that are open.
type Place = usize;

/// The files of one archive.
struct Archive<'a> {
    edition: &'a Edition,
    /// The one that has the metadata comes first.
    files: Vec<Place>,
    served: bool,
}

impl<'a> Workspaces<'a> {
    /// Judges the archives; of two that exclude each other the one in `served` stays, else the one
    /// with more files, else the one listed first.
    pub(super) fn of(open: &'a [Arc<Snapshot>], served: &Served) -> Self {
        let mut workspaces = Self { open, archives: Vec::new(), fates: BTreeMap::new() };
        workspaces.gather(served);
        let mut by_uid: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (at, archive) in workspaces.archives.iter().enumerate() {
            by_uid.entry(archive.edition.uid).or_default().push(at);
        }
        for archives in by_uid.into_values() {
            workspaces.judge(archives);
        }
        workspaces
    }

    /// What becomes of each file.
    pub(super) fn fates(&self) -> impl Iterator<Item = (Place, Fate)> {
        self.fates.iter().map(|(place, fate)| (*place, fate.clone()))
    }

    /// Which archive a file is of.
    pub(super) fn edition(&self, place: Place) -> Option<&'a Edition> {
        let archive = self.archives.iter().find(|it| it.files.contains(&place));
        archive.map(|archive| archive.edition)
    }

    /// Puts the files of archives together; those that nothing is known of wait.
    fn gather(&mut self, served: &Served) {
        let mut files: BTreeMap<Key, (Vec<Archive<'a>>, Vec<Place>)> = BTreeMap::new();
        for (place, snapshot) in self.open.iter().enumerate() {
            let Some(archive) = &snapshot.bundle().archive_v1 else { continue };
            let (firsts, others) = files.entry(archives::key(snapshot)).or_default();
            if let Some(edition) = &archive.edition {
                let served = acceptance::key(snapshot).is_some_and(|it| served.contains(&it));
                firsts.push(Archive { edition, files: vec![place], served });
            } else if !archive.begins {
                others.push(place);
            }
        }
        for (mut firsts, others) in files.into_values() {
            match firsts.as_mut_slice() {
                [one] => one.files.extend(others),
                _ => {
                    let reason = "the first file of its archive, which has the names, is not here: \
                                  bring it, mirror_seq…_000000.tar, to where this one lies";
                    let fate = Fate { state: State::Waiting, reason: Some(reason.to_owned()) };
                    self.fates.extend(others.into_iter().map(|place| (place, fate.clone())));
                }
            }
            self.archives.extend(firsts);
        }
    }

    /// Judges the archives of one workspace.
    fn judge(&mut self, mut archives: Vec<usize>) {
        archives.sort_by_key(|at| {
            let archive = self.archives.get(*at);
            archive.map(|it| (it.edition.sequence, !it.served, usize::MAX - it.files.len()))
        });
        // The last one that is live, and what the live ones hold.
        let mut live: Vec<&Archive<'a>> = Vec::new();
        let mut judged: HashMap<u64, &Archive<'a>> = HashMap::new();
        let mut fates = BTreeMap::new();
        for archive in archives.iter().filter_map(|at| self.archives.get(*at)) {
            let fate = match judged.get(&archive.edition.sequence) {
                Some(first) => self.again(archive, first),
                None => self.in_order(archive, &live),
            };
            judged.entry(archive.edition.sequence).or_insert(archive);
            if fate.state == State::Live {
                live.push(archive);
            }
            fates.extend(archive.files.iter().map(|place| (*place, fate.clone())));
        }
        self.fates.extend(fates);
    }

    /// What becomes of an archive of a sequence that there is one of.
    fn again(&self, archive: &Archive<'_>, first: &Archive<'_>) -> Fate {
        let same = archive.edition.digest == first.edition.digest;
        let path = first.files.first().and_then(|place| self.open.get(*place));
        let path = path.map(|it| it.bundle().path.display().to_string()).unwrap_or_default();
        let text = "No diff from previous mirror (sequence is the same), nothing to do";
        let (state, reason) = if same {
            (State::Ignored, format!("{text}: {path} is the same"))
        } else {
            let advice = "is another archive of that sequence; remove one of the two, the one that \
                          no later sequence was made after";
            (State::Refused, format!("{text}: {path} {advice}"))
        };
        Fate { state, reason: Some(reason) }
    }

    /// What becomes of an archive after those that are live.
    fn in_order(&self, archive: &Archive<'_>, live: &[&Archive<'_>]) -> Fate {
        let got = archive.edition.sequence;
        let last = live.last().map_or(0, |it| it.edition.sequence);
        let want = last.saturating_add(1);
        if archive.edition.single_use || got == want {
            return Fate { state: State::Live, reason: None };
        }
        let order = format!("invalid mirror sequence order, want {want}, got {got}");
        if self.is_complete(archive, live) {
            let reason =
                format!("{order}; it is served all the same, as all that it names is here");
            return Fate { state: State::Live, reason: Some(reason) };
        }
        let reason = format!(
            "error during publishing, expecting imageset with prefix mirror_seq{want}: {order}; \
             bring mirror_seq{want}_000000.tar, with all files of that sequence"
        );
        Fate { state: State::Waiting, reason: Some(reason) }
    }

    /// Whether everything that an archive names is in it or in those that are live.
    fn is_complete(&self, archive: &Archive<'_>, live: &[&Archive<'_>]) -> bool {
        let files = live.iter().copied().chain([archive]).flat_map(|it| &it.files);
        let files: Vec<_> = files.filter_map(|place| self.open.get(*place)).collect();
        let held =
            |digest: &Digest| files.iter().any(|it| it.bundle().index.find(digest).is_some());
        let first = archive.files.first().and_then(|place| self.open.get(*place));
        let needs = first.and_then(|it| it.bundle().archive_v1.as_ref()).map(|it| &it.needs);
        needs.is_some_and(|needs| needs.iter().all(held))
    }
}
