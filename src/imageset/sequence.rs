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
mod tests {
    use super::*;

    /// An edition as `1`, `2`, `2.1/3`: of which the record is `text`, that builds on `previous`.
    fn edition(what: &str, text: &str, previous: &str, part_before: &str) -> Edition {
        let (sequence, part) = match what.split_once('.') {
            Some((sequence, part)) => (sequence, Some(part.split_once('/').unwrap())),
            None => (what, None),
        };
        let sequence: u64 = sequence.parse().unwrap();
        let digest = |text: &str| Digest::of(text.as_bytes());
        Edition {
            imageset: Imageset {
                id: Uuid::from_u128(text.bytes().next().unwrap().into()),
                name: "test".to_owned(),
            },
            sequence,
            part: part.map(|(number, count)| Part {
                number: number.parse().unwrap(),
                count: count.parse().unwrap(),
                previous: (number != "1").then(|| digest(part_before)),
            }),
            digest: digest(text),
            previous: (sequence > 1)
                .then(|| Previous { sequence: sequence - 1, digest: digest(previous) }),
            served: false,
            unfit: false,
        }
    }

    fn words(editions: &[Edition]) -> String {
        let words = judge(editions).into_iter().map(|verdict| match verdict {
            Verdict::Live => "live".to_owned(),
            Verdict::Duplicate { of } => format!("like{of}"),
            Verdict::Waits { missing, .. } => match missing {
                Missing::Sequence { sequence, unfit: false } => format!("waits{sequence}"),
                Missing::Sequence { sequence, unfit: true } => format!("waits{sequence}!"),
                Missing::Part { sequence, number, count } => {
                    format!("waits{sequence}.{number}/{count}")
                }
            },
            Verdict::Forked { sequence, served: true, .. } => format!("forked{sequence}"),
            Verdict::Forked { sequence, served: false, .. } => format!("unlike{sequence}"),
            Verdict::Astray { sequence, .. } => format!("astray{sequence}"),
            Verdict::Unfit => "unfit".to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// The editions that the tests speak of: `a…` is one imageset, `b…` another.
    fn all() -> BTreeMap<&'static str, Edition> {
        [
            ("a1", edition("1", "a1", "", "")),
            ("a2", edition("2", "a2", "a1", "")),
            ("a3", edition("3", "a3", "a2", "")),
            ("a4", edition("4", "a4", "a3", "")),
            ("b1", edition("1", "b1", "", "")),
            ("b2", edition("2", "b2", "b1", "")),
            // Forks: of the first sequence, of the second, and what builds on them.
            ("ax1", edition("1", "ax1", "", "")),
            ("ax2", edition("2", "ax2", "a1", "")),
            ("ax3", edition("3", "ax3", "ax2", "")),
            ("ay2", edition("2", "ay2", "ax1", "")),
            // The second sequence in parts, and the third on top of it.
            ("ap1", edition("2.1/3", "ap1", "a1", "")),
            ("ap2", edition("2.2/3", "ap2", "a1", "ap1")),
            ("ap3", edition("2.3/3", "ap3", "a1", "ap2")),
            ("aq3", edition("3", "aq3", "ap3", "")),
            // Parts that do not fit.
            ("aw1", edition("2.1/3", "aw1", "a1", "")),
            ("aw2", edition("2.2/3", "aw2", "a1", "other")),
            ("av2", edition("2.2/2", "av2", "a1", "ap1")),
            ("au2", edition("2.2/3", "au2", "other", "ap1")),
            // A whole sequence in parts, from the first.
            ("as1", edition("1.1/2", "as1", "", "")),
            ("as2", edition("1.2/2", "as2", "", "as1")),
            ("at2", edition("2", "at2", "as2", "")),
        ]
        .into()
    }

    /// Judges the editions of these names; `!` after one says that it is unfit, `*` served.
    fn judged(names: &str) -> String {
        let all = all();
        let editions: Vec<_> = names
            .split_whitespace()
            .map(|name| {
                let mut edition = all[name.trim_end_matches(['!', '*'])].clone();
                edition.unfit = name.ends_with('!');
                edition.served = name.ends_with('*');
                edition
            })
            .collect();
        words(&editions)
    }

    #[test]
    fn the_table() {
        for (editions, expected) in [
            ("", ""),
            // Sequence 1 of an unknown id; n+1 on the live record.
            ("a1", "live"),
            ("a1 a2 a3", "live live live"),
            ("a3 a2 a1", "live live live"),
            // n again, same record.
            ("a1 a1", "live like0"),
            ("a2 a1 a2", "live live like0"),
            ("a2 a2", "waits1 like0"),
            // n again, other record.
            ("a1 a2 ax2", "live live forked2"),
            ("a1 ax1", "live forked1"),
            // A gap.
            ("a2", "waits1"),
            ("a1 a3", "live waits2"),
            ("a1 a4 a3", "live waits2 waits2"),
            ("a1 a2 a4", "live live waits3"),
            ("a1 a2 a4 a3", "live live live live"),
            // Another id.
            ("a1 b1", "live live"),
            ("a1 b2 a2", "live waits1 live"),
            // The newest is removed, one in the middle is removed.
            ("a1 a2", "live live"),
            ("a1 a3 a4", "live waits2 waits2"),
        ] {
            assert_eq!(judged(editions), expected, "{editions}");
        }
    }

    #[test]
    fn a_split_sequence_waits_until_all_parts_are_there() {
        for (editions, expected) in [
            ("a1 ap1", "live waits2.2/3"),
            ("a1 ap2", "live waits2.1/3"),
            ("a1 ap3 ap1", "live waits2.2/3 waits2.2/3"),
            ("ap3 ap2 ap1 a1", "live live live live"),
            ("ap1 ap2 ap3", "waits1 waits1 waits1"),
            ("a1 aq3 ap1 ap3", "live waits2.2/3 waits2.2/3 waits2.2/3"),
            ("aq3 ap1 ap2 ap3 a1", "live live live live live"),
            ("a1 ap1 ap1", "live waits2.2/3 like1"),
            ("as1", "waits1.2/2"),
            ("at2 as2", "waits1.1/2 waits1.1/2"),
            ("at2 as2 as1", "live live live"),
        ] {
            assert_eq!(judged(editions), expected, "{editions}");
        }
    }

    #[test]
    fn a_part_that_does_not_fit_is_a_fork() {
        for (editions, expected) in [
            ("a1 ap1 aw2", "live waits2.2/3 unlike2"),
            ("a1 ap1 aw1", "live waits2.2/3 unlike2"),
            ("a1 ap1 av2", "live waits2.2/3 unlike2"),
            ("a1 ap1 au2", "live waits2.2/3 astray1"),
            // The ones that fit win as soon as they are whole.
            ("a1 aw2 ap1 ap2 ap3", "live forked2 live live live"),
            ("a1 aw1 ap3 ap2 ap1", "live forked2 live live live"),
            // A whole sequence before one that waits for parts; what builds on that one.
            ("a1 ap1 ap2 a2", "live forked2 forked2 live"),
            ("a1 a2 aq3", "live live astray2"),
        ] {
            assert_eq!(judged(editions), expected, "{editions}");
        }
    }

    #[test]
    fn of_a_fork_what_is_served_stays_then_what_is_built_upon() {
        for (editions, expected) in [
            ("ax2 a1 a2*", "forked2 live live"),
            ("ax2 ax3 a1 a2*", "forked2 astray2 live live"),
            ("ax2 a1 a2 a3", "forked2 live live live"),
            ("ax2 a1 a2", "live live forked2"),
            ("a1 ax1 ay2", "forked1 live live"),
            ("a1* ax1 ay2", "live forked1 astray1"),
        ] {
            assert_eq!(judged(editions), expected, "{editions}");
        }
    }

    #[test]
    fn what_is_unfit_is_as_good_as_missing_and_blocks_nothing_else() {
        for (editions, expected) in [
            ("a1 a2! a3", "live unfit waits2!"),
            ("a1! a2 b1", "unfit waits1! live"),
            ("a1 ay2 a3 b1 b2!", "live astray1 waits2 live unfit"),
            ("a1 a2! ax2 ax3", "live unfit live live"),
            ("a1 ap1 ap2! ap3", "live waits2.2/3 unfit waits2.2/3"),
            ("a1 a2! a4 a3!", "live unfit waits2! unfit"),
            ("a1! a1", "unfit like0"),
            ("a1 a1*", "like1 live"),
        ] {
            assert_eq!(judged(editions), expected, "{editions}");
        }
    }

    #[test]
    fn of_any_bundles_the_longest_chain_is_live_and_nothing_else() {
        let names = ["a1", "a2", "a3", "ax1", "ax2", "ax3", "ap1", "ap2", "ap3", "aq3"];
        let all = all();
        for set in 0..1_u32 << names.len() {
            let here = (0..names.len()).filter(|bit| set & 1 << bit != 0);
            let editions: Vec<_> = here.map(|bit| all[names[bit]].clone()).collect();
            let mut lengths = Vec::new();
            for editions in [editions.clone(), editions.into_iter().rev().collect()] {
                let verdicts = judge(&editions);
                let judged = editions.iter().zip(&verdicts);
                let live: Vec<&Edition> = judged
                    .filter(|(_, verdict)| **verdict == Verdict::Live)
                    .map(|(edition, _)| edition)
                    .collect();
                let top = live.iter().map(|it| it.sequence).max().unwrap_or(0);
                let mut below = None;
                for sequence in 1..=top {
                    let mut own: Vec<_> =
                        live.iter().filter(|it| it.sequence == sequence).collect();
                    own.sort_by_key(|it| it.part.as_ref().map(|part| part.number));
                    let count = own[0].part.as_ref().map_or(1, |part| part.count);
                    assert_eq!(own.len(), count as usize, "{editions:?}");
                    assert!(own.iter().all(|it| it.builds_on() == below), "{editions:?}");
                    let mut before = None;
                    for (number, edition) in own.iter().enumerate().filter(|_| count > 1) {
                        let part = edition.part.as_ref().unwrap();
                        assert_eq!(
                            (part.number, &part.previous),
                            (u32::try_from(number).unwrap() + 1, &before)
                        );
                        before = Some(edition.digest.clone());
                    }
                    below = own.last().map(|it| &it.digest);
                }
                let next = editions.iter().any(|it| it.part.is_none() && it.builds_on() == below);
                assert!(!next, "more could be live: {editions:?}");
                lengths.push(top);
            }
            assert_eq!(lengths[0], lengths[1], "whatever the order: {set:b}");
        }
    }

    #[test]
    fn numbers_that_a_record_claims_cost_nothing() {
        let digest = || Digest::of(b"x");
        let mut last = edition("2", "a2", "a1", "");
        last.sequence = u64::MAX;
        last.previous = Some(Previous { sequence: u64::MAX - 1, digest: digest() });
        let mut part = edition("1.1/2", "b1", "", "");
        part.part = Some(Part { number: u32::MAX, count: u32::MAX, previous: Some(digest()) });
        assert_eq!(words(&[last, part]), format!("waits1 waits1.1/{}", u32::MAX));
    }
}
