//! What a chart shows, before it is drawn: the figures of one group and unit beside each other.

use super::results::{Figure, Group, Series};
use super::verdict::{is_ours, more_is_better};

/// Figures of one group and unit.
pub struct Panel {
    pub title: String,
    /// What all of its figures are about, as the images that were pulled.
    pub detail: String,
    /// What the axis measures.
    pub axis: String,
    /// Where the server is that the others are divided by.
    pub mark: Option<f64>,
    pub blocks: Vec<Block>,
}

/// The bars of one figure.
pub struct Block {
    pub name: String,
    /// By server: ours first, then the peers by name.
    pub rows: Vec<(String, Series)>,
}

/// The panels of a group, one for each unit; CPU time is divided by `over`'s where that was measured.
pub fn panels(group: &Group<'_>, over: Option<&str>) -> Vec<Panel> {
    let (title, detail) = group.name.split_once(", ").unwrap_or((group.name, ""));
    let common = common_end(&group.figures);
    let detail = [detail, common.trim_start_matches(", ")];
    let detail = detail.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let mut panels: Vec<Panel> = Vec::new();
    for figure in &group.figures {
        let base = over.filter(|_| figure.unit.starts_with("CPU"));
        let base = base.and_then(|name| Some((name, figure.servers.get(name)?)));
        let unit = base.map_or(spelled(&figure.unit), |(name, _)| format!("CPU time, {name} = 1"));
        let better = if more_is_better(&figure.unit) { "longer" } else { "shorter" };
        let axis = format!("{unit}; {better} is better");
        let name = figure.name[..figure.name.len() - common.len()].to_owned();
        let block = Block { name, rows: rows(figure, base) };
        match panels.iter_mut().find(|panel| panel.axis == axis) {
            Some(panel) => panel.blocks.push(block),
            None => panels.push(Panel {
                title: title.to_owned(),
                detail: detail.clone(),
                axis,
                mark: base.map(|_| 1.0),
                blocks: vec![block],
            }),
        }
    }
    panels
}

fn spelled(unit: &str) -> String {
    match unit {
        "s" => "seconds",
        "ms" => "milliseconds",
        "1000/s" => "thousands a second",
        unit => unit,
    }
    .to_owned()
}

/// What all names end in, from a comma on.
fn common_end<'a>(figures: &[&'a Figure]) -> &'a str {
    let first = figures[0].name.as_str();
    let mut ends = first.match_indices(", ").map(|(at, _)| &first[at..]);
    let common = ends.find(|end| figures.iter().all(|figure| figure.name.ends_with(end)));
    common.filter(|_| figures.len() > 1).unwrap_or("")
}

fn rows(figure: &Figure, base: Option<(&str, &Series)>) -> Vec<(String, Series)> {
    let (ours, peers): (Vec<_>, Vec<_>) =
        figure.servers.iter().partition(|(name, _)| is_ours(name));
    let all = ours.into_iter().chain(peers);
    all.filter_map(|(name, series)| match base {
        Some((base, _)) if base == name => None,
        Some((_, base)) => Some((label(name), series.over(base)?)),
        None => Some((label(name), series.clone())),
    })
    .collect()
}

/// The name that a reader knows: the static program is ours, too.
fn label(server: &str) -> String {
    server.replace("shipperd-musl", "shipperd, static")
}

impl Panel {
    /// All that it shows, in words.
    pub fn told(&self) -> String {
        let blocks = self.blocks.iter().map(|Block { name, rows }| {
            let rows = rows.iter().map(|(server, series)| {
                let (low, high) = series.spread();
                let (median, low, high) = (number(series.median()), number(low), number(high));
                format!("{server} {median} ({low} to {high})")
            });
            format!("{name}: {}", rows.collect::<Vec<_>>().join(", "))
        });
        format!("{}, {}. {}.", self.title, self.axis, blocks.collect::<Vec<_>>().join("; "))
    }
}

/// Three digits that count.
pub fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
