//! Which of the editions that are at hand can be served: the table of docs/bundle-format.md.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::record::{Part, Previous, Record};
use super::verdict::{Imageset, Missing, Verdict};
use crate::oci::Digest;

/// One edition at hand: a bundle that is a sequence, or a part of one.
#[derive(Clone, Debug)]
pub struct Edition {
    /// Which imageset.
    pub imageset: Imageset,
    /// Which sequence of it.
    pub sequence: u64,
    /// Which part of the sequence.
    pub part: Option<Part>,
    /// The digest of its record.
    pub digest: Digest,
    /// What it builds on.
    pub previous: Option<Previous>,
    /// Whether it is served until now: of two that exclude each other that one stays.
    pub served: bool,
    /// Whether it cannot be served for reasons of its own.
    pub unfit: bool,
}

impl Edition {
    /// The edition of a record with this digest.
    #[must_use]
    pub fn of(record: &Record, digest: &Digest) -> Self {
        Self {
            imageset: Imageset { id: record.id, name: record.name.clone() },
            sequence: record.sequence,
            part: record.part.clone(),
            digest: digest.clone(),
            previous: record.previous.clone(),
            served: false,
            unfit: false,
        }
    }

    fn builds_on(&self) -> Option<&Digest> {
        self.previous.as_ref().map(|previous| &previous.digest)
    }
}

/// Judges editions; answers in their order.
///
/// Where two exclude each other, the one that is served stays, else the one that more later
/// sequences build on, else the one listed first.
#[must_use]
pub fn judge(editions: &[Edition]) -> Vec<Verdict> {
    let mut imagesets: BTreeMap<Uuid, Vec<Place>> = BTreeMap::new();
    let mut verdicts = BTreeMap::new();
    let mut first: HashMap<&Digest, Place> = HashMap::new();
    let mut order: Vec<(Place, &Edition)> = editions.iter().enumerate().collect();
    order.sort_by_key(|(_, edition)| !edition.served);
    for (place, edition) in order {
        let of = *first.entry(&edition.digest).or_insert(place);
        if of == place {
            imagesets.entry(edition.imageset.id).or_default().push(place);
        } else {
            verdicts.insert(place, Verdict::Duplicate { of });
        }
    }
    for places in imagesets.into_values() {
        Timeline { editions, verdicts: &mut verdicts }.judge(&places);
    }
    verdicts.into_values().collect()
}

/// An edition's place in the list.
type Place = usize;

/// One imageset.
struct Timeline<'a, 'v> {
    editions: &'a [Edition],
    verdicts: &'v mut BTreeMap<Place, Verdict>,
}

/// A whole sequence: a bundle, or all its parts.
struct Whole<'a> {
    /// In the order of the parts.
    members: Vec<Place>,
    /// The digest that the next sequence names.
    digest: &'a Digest,
    builds_on: Option<&'a Digest>,
    served: bool,
}

impl<'a> Timeline<'a, '_> {
    fn judge(&mut self, places: &[Place]) {
        let mut sequences: BTreeMap<u64, Vec<Place>> = BTreeMap::new();
        for place in places {
            let sequence = self.editions.get(*place).map_or(0, |it| it.sequence);
            sequences.entry(sequence).or_default().push(*place);
        }
        let wholes: BTreeMap<u64, Vec<Whole<'a>>> =
            sequences.iter().map(|(sequence, places)| (*sequence, self.wholes(places))).collect();
        let followers = followers(&wholes);
        // The last sequence that is served, and its digest.
        let mut live: (u64, Option<&Digest>) = (0, None);
        let mut missing = None;
        for (sequence, places) in &sequences {
            let due = live.0.saturating_add(1);
            if *sequence != due {
                let missing =
                    missing.get_or_insert(Missing::Sequence { sequence: due, unfit: false });
                self.wait(places, missing);
                continue;
            }
            let unfit = places.iter().filter_map(|place| self.edition(*place)).any(|it| it.unfit);
            let places = self.fitting(places, live);
            let candidates = wholes.get(sequence).into_iter().flatten();
            let candidates = candidates.filter(|it| it.builds_on == live.1);
            let best = candidates.max_by_key(|it| {
                let followers = followers.get(it.digest).copied().unwrap_or(0);
                (it.served, followers, Reverse(it.members.iter().min().copied()))
            });
            match best {
                Some(best) => {
                    live = (*sequence, Some(best.digest));
                    for place in places {
                        let is_member = best.members.contains(&place);
                        let forked = || self.forked(place, best.digest, true);
                        let verdict = if is_member { Some(Verdict::Live) } else { forked() };
                        self.verdicts.extend(verdict.map(|verdict| (place, verdict)));
                    }
                }
                None => missing = Some(self.gather(*sequence, &places, unfit)),
            }
        }
    }

    fn edition(&self, place: Place) -> Option<&'a Edition> {
        self.editions.get(place)
    }

    /// The whole sequences among the editions of one sequence.
    fn wholes(&self, places: &[Place]) -> Vec<Whole<'a>> {
        let fit = places.iter().filter_map(|place| Some((*place, self.edition(*place)?)));
        let fit: Vec<_> = fit.filter(|(_, it)| !it.unfit).collect();
        let by_digest: HashMap<&Digest, (Place, &'a Edition)> =
            fit.iter().map(|(place, it)| (&it.digest, (*place, *it))).collect();
        let whole = |(place, last): &(Place, &'a Edition)| {
            let mut members = vec![*place];
            let mut served = last.served;
            if let Some(part) = last.part.as_ref().filter(|part| part.number != part.count) {
                debug_assert!(part.number < part.count);
                return None;
            }
            // From the last part down: each names the one before it, so there is one way.
            let mut upper = *last;
            while let Some(Part { number, previous: Some(previous), .. }) = &upper.part {
                let (place, lower) = by_digest.get(previous)?;
                let part = lower.part.as_ref()?;
                let follows = part.number.checked_add(1) == Some(*number)
                    && part.count == last.part.as_ref()?.count
                    && lower.previous == last.previous;
                if !follows {
                    return None;
                }
                members.push(*place);
                served &= lower.served;
                upper = lower;
            }
            members.reverse();
            Some(Whole { members, digest: &last.digest, builds_on: last.builds_on(), served })
        };
        fit.iter().filter_map(whole).collect()
    }

    /// Those that build on what is served; the others are judged.
    fn fitting(&mut self, places: &[Place], live: (u64, Option<&Digest>)) -> Vec<Place> {
        let mut fitting = Vec::new();
        for place in places {
            let Some(edition) = self.edition(*place) else { continue };
            let verdict = match (edition.builds_on(), live.1) {
                _ if edition.unfit => Verdict::Unfit,
                (Some(wanted), Some(served)) if wanted != served => Verdict::Astray {
                    imageset: edition.imageset.clone(),
                    sequence: live.0,
                    wanted: wanted.clone(),
                    served: served.clone(),
                },
                _ => {
                    fitting.push(*place);
                    continue;
                }
            };
            self.verdicts.insert(*place, verdict);
        }
        fitting
    }

    /// Judges the parts of a sequence that is not whole; answers what is missing of it.
    /// `unfit` says whether one is here that cannot be served.
    fn gather(&mut self, sequence: u64, places: &[Place], unfit: bool) -> Missing {
        let mut order = places.to_vec();
        order.sort_by_key(|place| self.edition(*place).map(|it| !it.served));
        let mut parts: BTreeMap<u32, (Place, &'a Edition)> = BTreeMap::new();
        let mut count = 0;
        for place in order {
            let Some(edition) = self.edition(place) else { continue };
            // A sequence that is one bundle is whole: it does not come here.
            let Some(part) = &edition.part else { continue };
            let other = match parts.first_key_value() {
                Some((_, (_, first))) if part.count != count => Some(*first),
                _ => misfit(edition, part, &parts),
            };
            if let Some(other) = other {
                let verdict = self.forked(place, &other.digest, false);
                self.verdicts.extend(verdict.map(|verdict| (place, verdict)));
                continue;
            }
            count = part.count;
            parts.insert(part.number, (place, edition));
        }
        // Of none there is no number.
        let missing = match (1..=count).find(|number| !parts.contains_key(number)) {
            Some(number) => Missing::Part { sequence, number, count },
            None => Missing::Sequence { sequence, unfit },
        };
        let waiting: Vec<Place> = parts.into_values().map(|(place, _)| place).collect();
        self.wait(&waiting, &missing);
        missing
    }

    fn wait(&mut self, places: &[Place], missing: &Missing) {
        for place in places {
            let Some(edition) = self.edition(*place) else { continue };
            let (imageset, missing) = (edition.imageset.clone(), missing.clone());
            let waits = Verdict::Waits { imageset, missing };
            self.verdicts.insert(*place, if edition.unfit { Verdict::Unfit } else { waits });
        }
    }

    fn forked(&self, place: Place, other: &Digest, served: bool) -> Option<Verdict> {
        let edition = self.edition(place)?;
        Some(Verdict::Forked {
            imageset: edition.imageset.clone(),
            sequence: edition.sequence,
            this: edition.digest.clone(),
            other: other.clone(),
            served,
        })
    }
}

/// How many later sequences build on each whole sequence, at most.
fn followers<'a>(wholes: &BTreeMap<u64, Vec<Whole<'a>>>) -> HashMap<&'a Digest, usize> {
    let mut followers: HashMap<&Digest, usize> = HashMap::new();
    for whole in wholes.values().rev().flatten() {
        let own = followers.get(whole.digest).copied().unwrap_or(0);
        let Some(below) = whole.builds_on else { continue };
        let known = followers.entry(below).or_default();
        *known = (*known).max(own.saturating_add(1));
    }
    followers
}

/// The one among `parts` that a part does not fit to.
fn misfit<'a>(
    edition: &Edition,
    part: &Part,
    parts: &BTreeMap<u32, (Place, &'a Edition)>,
) -> Option<&'a Edition> {
    let at = |number: Option<u32>| parts.get(&number?).map(|(_, edition)| *edition);
    let below = at(part.number.checked_sub(1));
    let above = at(part.number.checked_add(1));
    let breaks_below = |it: &&Edition| part.previous.as_ref() != Some(&it.digest);
    let breaks_above = |it: &&Edition| {
        it.part.as_ref().and_then(|it| it.previous.as_ref()) != Some(&edition.digest)
    };
    at(Some(part.number))
        .or_else(|| below.filter(breaks_below))
        .or_else(|| above.filter(breaks_above))
}

#[cfg(test)]
mod tests;
