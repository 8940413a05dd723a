//! Which of the editions that are at hand can be served: the table of docs/bundle-format.md.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::record::Previous;
use crate::oci::Digest;

/// One edition at hand.
#[derive(Clone, Debug)]
pub struct Edition {
    /// Which imageset.
    pub id: Uuid,
    /// Which sequence of it.
    pub sequence: u64,
    /// The digest of its record.
    pub digest: Digest,
    /// What it builds on.
    pub previous: Option<Previous>,
}

/// Whether an edition can be served.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Verdict {
    /// It can.
    #[error("live")]
    Live,
    /// It is the same as one before it in the list.
    #[error("the same bundle is here twice")]
    Duplicate,
    /// One before it is missing.
    #[error("waits for sequence {missing} of imageset {id}")]
    Waits {
        /// The imageset.
        id: Uuid,
        /// The first sequence that is missing.
        missing: u64,
    },
    /// There is another edition of the same sequence.
    #[error("imageset {id} was forked at sequence {sequence}: {this} is here, {live} is served")]
    Forked {
        /// The imageset.
        id: Uuid,
        /// The sequence that there are two of.
        sequence: u64,
        /// This one's digest, or that of what it builds on.
        this: Digest,
        /// The digest of the one that is served.
        live: Digest,
    },
}

/// Judges editions in the order in which they were listed; answers in that order.
#[must_use]
pub fn judge(editions: &[Edition]) -> Vec<Verdict> {
    let mut order: Vec<usize> = (0..editions.len()).collect();
    order.sort_by_key(|at| editions.get(*at).map(|edition| edition.sequence));
    let mut verdicts: BTreeMap<usize, Verdict> = BTreeMap::new();
    let mut live: BTreeMap<(Uuid, u64), Digest> = BTreeMap::new();
    for at in order {
        let Some(edition) = editions.get(at) else { continue };
        let verdict = one(edition, &live);
        if verdict == Verdict::Live {
            live.insert((edition.id, edition.sequence), edition.digest.clone());
        }
        verdicts.insert(at, verdict);
    }
    verdicts.into_values().collect()
}

fn one(edition: &Edition, live: &BTreeMap<(Uuid, u64), Digest>) -> Verdict {
    let Edition { id, sequence, digest, previous } = edition;
    let forked = |sequence, this: &Digest, live: &Digest| Verdict::Forked {
        id: *id,
        sequence,
        this: this.clone(),
        live: live.clone(),
    };
    match live.get(&(*id, *sequence)) {
        Some(same) if same == digest => return Verdict::Duplicate,
        Some(other) => return forked(*sequence, digest, other),
        None => {}
    }
    let Some(previous) = previous else { return Verdict::Live };
    match live.get(&(*id, previous.sequence)) {
        Some(before) if *before == previous.digest => Verdict::Live,
        Some(other) => forked(previous.sequence, &previous.digest, other),
        None => {
            let missing = (1..*sequence).find(|it| !live.contains_key(&(*id, *it)));
            Verdict::Waits { id: *id, missing: missing.unwrap_or(previous.sequence) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edition(id: u128, sequence: u64, text: &str, previous: &str) -> Edition {
        let before = |sequence| Previous { sequence, digest: Digest::of(previous.as_bytes()) };
        Edition {
            id: Uuid::from_u128(id),
            sequence,
            digest: Digest::of(text.as_bytes()),
            previous: sequence.checked_sub(1).filter(|it| *it > 0).map(before),
        }
    }

    #[test]
    fn the_table() {
        let (one, two, three) =
            (edition(1, 1, "a1", ""), edition(1, 2, "a2", "a1"), edition(1, 3, "a3", "a2"));
        let other = edition(2, 1, "b1", "");
        let fork = edition(1, 2, "x2", "a1");
        let stranger = edition(1, 2, "y2", "y1");
        for (editions, expected) in [
            (vec![&one], "live"),
            (vec![&one, &two, &three], "live live live"),
            (vec![&three, &two, &one], "live live live"),
            (vec![&one, &other], "live live"),
            (vec![&one, &one], "live duplicate"),
            (vec![&one, &three], "live waits2"),
            (vec![&two], "waits1"),
            (vec![&one, &two, &fork], "live live forked"),
            (vec![&one, &stranger], "live forked"),
            (vec![], ""),
        ] {
            let editions: Vec<Edition> = editions.into_iter().cloned().collect();
            let words = judge(&editions).into_iter().map(|verdict| match verdict {
                Verdict::Live => "live".to_owned(),
                Verdict::Duplicate => "duplicate".to_owned(),
                Verdict::Waits { missing, .. } => format!("waits{missing}"),
                Verdict::Forked { .. } => "forked".to_owned(),
            });
            assert_eq!(words.collect::<Vec<_>>().join(" "), expected);
        }
    }
}
