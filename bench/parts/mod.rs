//! What can be measured: a row in [`PARTS`] and a file for each.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::content::shape::Content;
use crate::content::store::Store;
use crate::measure::report::Figure;
use crate::peers::Peer;
use crate::peers::served::Served;
use crate::peers::yard::Yard;
use crate::{scale, talk};

mod start;
mod large;
mod first;
mod manifests;
mod tags;
mod storm;
mod cold;
mod fetcher;
mod create;
mod sequence;
mod dry_run;
mod foreign;
mod state;

/// All parts but those of [`scale`], which make what they serve; those on the same content run one after the other.
const PARTS: [Part; 18] = [
    part("start", Content::Release, "starting", start::few),
    part("clear", Content::Release, "large blobs in clear text", large::in_clear_text),
    part("tls", Content::Release, "large blobs under TLS", large::under_tls),
    part("first", Content::Release, "first reads in clear text", first::in_clear_text),
    part("first-tls", Content::Release, "first reads under TLS", first::under_tls),
    part("manifests", Content::Release, "manifests", manifests::in_clear_text),
    part("manifests-tls", Content::Release, "manifests under TLS", manifests::under_tls),
    part("storm", Content::Release, "a storm in clear text", storm::in_clear_text),
    part("storm-tls", Content::Release, "a storm under TLS", storm::under_tls),
    part("cold", Content::Release, "with a cold page cache", cold::few),
    part("create", Content::Release, "creating", create::run),
    part("sequence", Content::Versions, "two sequences", sequence::run),
    part("dry-run", Content::Many, "dry runs", dry_run::run),
    part("foreign", Content::Carried, "archives of other tools", foreign::run),
    part("start", Content::Index, "starting with many blobs", start::many),
    part("cold", Content::Index, "starting with many blobs and a cold page cache", cold::many),
    part("state", Content::Index, "states", state::run),
    part("tags", Content::Tags, "manifests of many tags", tags::run),
];

/// Something to measure on some content.
struct Part {
    /// What `--only` calls it.
    name: &'static str,
    on: Content,
    /// What is said while it runs.
    title: &'static str,
    measure: fn(&Stand<'_>) -> Result<Vec<Figure>>,
}

const fn part(
    name: &'static str,
    on: Content,
    title: &'static str,
    measure: fn(&Stand<'_>) -> Result<Vec<Figure>>,
) -> Part {
    Part { name, on, title, measure }
}

/// The names of all parts, each once.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for name in PARTS.iter().map(|part| part.name).chain(scale::names()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What all parts of a run have in common.
#[derive(Debug)]
pub(crate) struct Run {
    /// Where content is kept.
    pub(crate) directory: PathBuf,
    pub(crate) yard: Yard,
    /// Binaries of ours.
    pub(crate) ours: Vec<Peer>,
    /// The names of those who may serve the same.
    pub(crate) peers: Vec<String>,
    /// How often each server is measured.
    pub(crate) rounds: usize,
    /// Whether only to see that all works.
    pub(crate) quick: bool,
}

impl Run {
    /// Runs the parts of these names.
    pub(crate) fn measure(&self, only: &[String]) -> Result<Vec<Figure>> {
        let [Peer::Shipperd(_, binary), ..] = self.ours.as_slice() else { bail!("we take part") };
        let mut figures = Vec::new();
        for content in Content::ALL {
            let on = PARTS.iter().filter(|part| part.on == content);
            let parts: Vec<_> =
                on.filter(|part| only.iter().any(|name| name == part.name)).collect();
            if parts.is_empty() {
                continue;
            }
            let shape = content.shape(self.quick)?;
            talk(&format!("preparing content: {}", shape.name));
            let store = Store::open(&self.directory, &shape)?;
            let served = Served::new(&store, content.is_bundled().then_some(binary.as_path()))?;
            let stand = Stand { run: self, served: &served, store: &store };
            for part in parts {
                talk(part.title);
                figures.extend((part.measure)(&stand)?);
            }
        }
        figures.extend(scale::measure(self, only)?);
        Ok(figures)
    }
}

/// What a part has to work with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stand<'a> {
    pub(crate) run: &'a Run,
    /// The content as servers read it.
    pub(crate) served: &'a Served,
    /// The content on disk.
    pub(crate) store: &'a Store,
}

impl Stand<'_> {
    /// Ours, then those of these peers that are wanted and can serve the content here.
    fn with(&self, peers: &[Peer]) -> Vec<Peer> {
        let wanted = |peer: &Peer| self.run.peers.iter().any(|name| name == peer.name());
        let suited = peers.iter().filter(|peer| wanted(peer) && self.served.suits(peer));
        self.run.ours.iter().chain(suited).cloned().collect()
    }

    /// The first of two amounts when little is to be measured, else the second.
    fn amount<T>(&self, quick: T, full: T) -> T {
        if self.run.quick { quick } else { full }
    }

    /// Rounds of what takes long.
    fn few_rounds(&self) -> usize {
        self.run.rounds.min(3)
    }
}
