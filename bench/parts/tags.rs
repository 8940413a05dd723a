//! Manifests by tag of a repository with very many tags, beside one with few.

use std::time::Duration;

use anyhow::Result;

use crate::content::Image;
use crate::content::shape::FEW_TAGS;
use crate::load::small::ask;
use crate::measure::report::{Figure, Goal};
use crate::measure::{Sample, in_turn};
use crate::parts::Stand;
use crate::peers::Peer;

const CONNECTIONS: usize = 64;
/// How often the repositories are asked in turn for one sample.
const TURNS: usize = 4;

/// Asks for as many manifests of the one as of the other.
pub(super) fn run(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    let (many, few) = stand.store.images.split_at(stand.store.images.len() - FEW_TAGS);
    let spread = many.iter().step_by(many.len() / few.len()).take(few.len());
    let of_many: Vec<_> = spread.map(Image::wanted).collect();
    let of_few: Vec<_> = few.iter().map(Image::wanted).collect();
    let period = Duration::from_millis(stand.amount(100, 500));
    let mut servers = Vec::new();
    for peer in stand.with(&[Peer::Nginx, Peer::Distribution]) {
        let server = stand.run.yard.start(&peer, stand.served)?;
        for wanted in [&of_many, &of_few] {
            ask(server.address, None, wanted, CONNECTIONS, period)?;
        }
        servers.push((peer, server));
    }
    let mut measured = in_turn(
        stand.run.rounds,
        &servers,
        |(peer, _)| peer.name(),
        |(_, server)| {
            let mut spent = [(&of_many, 0.0, 0), (&of_few, 0.0, 0)];
            for _ in 0..TURNS {
                for (wanted, cpu, requests) in &mut spent {
                    let before = server.cpu()?;
                    *requests += ask(server.address, None, wanted, CONNECTIONS, period)?.requests;
                    *cpu += server.cpu()? - before;
                }
            }
            let [many, few] = spent.map(|(_, cpu, requests)| cpu * 1e6 / requests as f64);
            Ok(Sample::from([("many", many), ("few", few), ("ratio", many / few)]))
        },
    )?;
    let mut figure = |key, name, unit| {
        Figure::of(&mut measured, key, "Manifests of a repository with many tags", name, unit)
    };
    Ok(vec![
        figure("many", format!("{} tags", many.len()), "CPU-µs/request"),
        figure("few", format!("{} tags", few.len()), "CPU-µs/request"),
        figure("ratio", "many beside few".to_owned(), "times").with(Goal::Value(1.1)),
    ])
}
