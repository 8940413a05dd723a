//! Scale: what grows with what, by simulation.
//!
//! Bundles are sparse: tables, names, manifests and configs are real, layers are holes with made-up
//! digests. So a TiB takes as much disk as what shipperd reads of it when it opens it.
//! Connections are real ones, all from one process that mostly waits.

mod made;
mod growth;
mod overlay;
mod clients;
mod idle;
mod busy;
mod site;

use anyhow::Result;

use self::site::Site;
use crate::measure::report::Figure;
use crate::parts::Run;
use crate::peers::Peer;
use crate::talk;

/// A part: its name, and what measures it with binaries of ours, quickly or not, so many rounds.
type Part = (&'static str, fn(&Site<'_>, &[Peer], bool, usize) -> Result<Vec<Figure>>);

/// One bundle that grows, many bundles, connections that are idle and busy.
const PARTS: [Part; 4] =
    [("growth", growth::run), ("bundles", overlay::run), ("idle", idle::run), ("busy", busy::run)];

/// The names of the parts.
pub(crate) fn names() -> [&'static str; 4] {
    PARTS.map(|(name, _)| name)
}

/// Runs the parts of these names.
pub(crate) fn measure(run: &Run, only: &[String]) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, part) in PARTS {
        if only.iter().any(|only| only == name) {
            talk(&format!("scale: {name}"));
            let site = Site::new(&run.yard, run.directory.join("scale"))?;
            figures.extend(part(&site, &run.ours, run.quick, run.rounds.min(3))?);
        }
    }
    Ok(figures)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// 1234567 as `1,234,567`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
