//! Rounds in turn, medians, spreads.
//!
//! One round runs every peer once, one after the other (A B C, A B C, …), so that a change in the
//! machine's mood hits all of them; a ratio is taken within each round.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

pub(crate) mod report;
pub(crate) mod spent;

/// The values of one figure for one server, one for each round.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Series(pub(crate) Vec<f64>);

impl Series {
    /// The middle value; not a number when there is none.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match (sorted.get(middle.wrapping_sub(1)), sorted.get(middle)) {
            (Some(low), Some(high)) if sorted.len().is_multiple_of(2) => f64::midpoint(*low, *high),
            (_, Some(value)) => *value,
            _ => f64::NAN,
        }
    }

    /// The value that a share of the values is not above; not a number when there is none.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let below = |place: usize| ((place + 1) as f64) < share * sorted.len() as f64;
        let place = (0..sorted.len()).take_while(|place| below(*place)).count();
        sorted.get(place).copied().unwrap_or(f64::NAN)
    }

    /// The smallest and the largest value.
    pub(crate) fn spread(&self) -> (f64, f64) {
        self.0.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(*value), high.max(*value))
        })
    }

    /// This divided by another, round by round.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }
}

/// Named values of one run of one server.
pub(crate) type Sample = BTreeMap<&'static str, f64>;

/// Figures by name, then by server.
pub(crate) type Figures = BTreeMap<&'static str, BTreeMap<&'static str, Series>>;

/// Runs each of `servers` once a round.
pub(crate) fn in_turn<S>(
    rounds: usize,
    servers: &[S],
    name: impl Fn(&S) -> &'static str,
    mut run: impl FnMut(&S) -> Result<Sample>,
) -> Result<Figures> {
    let mut figures = Figures::new();
    for _ in 0..rounds {
        for server in servers {
            for (figure, value) in run(server)? {
                figures.entry(figure).or_default().entry(name(server)).or_default().0.push(value);
            }
        }
    }
    Ok(figures)
}
