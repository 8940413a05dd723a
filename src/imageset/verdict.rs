//! Whether an edition can be served, in words: one sentence that says what to fetch or do.

use std::fmt;

use uuid::Uuid;

use crate::oci::Digest;

/// Whether an edition can be served.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Verdict {
    /// It can.
    #[error("live")]
    Live,
    /// It is the same as another one in the list.
    #[error("the same bundle is here twice")]
    Duplicate {
        /// The place of that one in the list.
        of: usize,
    },
    /// Something that it builds on, or belongs to, is not here.
    #[error("waits for {missing} of {imageset}: {}", missing.advice(imageset))]
    Waits {
        /// The imageset.
        imageset: Imageset,
        /// What is not here.
        missing: Missing,
    },
    /// There is another edition of the same sequence.
    #[error(
        "{imageset} was forked at sequence {sequence}: {this} is here, {other} is {}; \
         remove one of the two, the one that no later sequence builds on",
        if *served { "served" } else { "here, too" }
    )]
    Forked {
        /// The imageset.
        imageset: Imageset,
        /// The sequence that there are two of.
        sequence: u64,
        /// The digest of this one's record.
        this: Digest,
        /// The digest of the other one's record.
        other: Digest,
        /// Whether the other one is served.
        served: bool,
    },
    /// It builds on another edition than the one that is served.
    #[error(
        "{imageset} was forked at sequence {sequence}: this bundle builds on {wanted}, {served} \
         is served; bring the sequence {sequence} that it builds on in place of that one, \
         or remove this bundle"
    )]
    Astray {
        /// The imageset.
        imageset: Imageset,
        /// The sequence that there are two of.
        sequence: u64,
        /// The digest of the record that it builds on.
        wanted: Digest,
        /// The digest of the record that is served.
        served: Digest,
    },
    /// It is unfit for other reasons, as was said of it.
    #[error("it cannot be served")]
    Unfit,
}

/// An imageset in messages.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Imageset {
    /// Its id.
    pub id: Uuid,
    /// Its name for people.
    pub name: String,
}

/// What is not here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Missing {
    /// A whole sequence.
    Sequence {
        /// Which.
        sequence: u64,
        /// Whether one is here that cannot be served.
        unfit: bool,
    },
    /// A part of a split sequence.
    Part {
        /// Of which sequence.
        sequence: u64,
        /// Which part, from 1.
        number: u32,
        /// How many parts there are.
        count: u32,
    },
}

impl Missing {
    /// What to do about it.
    fn advice(&self, imageset: &Imageset) -> String {
        match self {
            Self::Sequence { unfit: true, .. } => {
                "the one that is here cannot be served, bring a sound copy of it".to_owned()
            }
            Self::Sequence { sequence, .. } => {
                format!("bring {}, or all its parts", file_name(&imageset.name, *sequence, None))
            }
            Self::Part { sequence, number, count } => {
                let part = Some((*number, *count));
                format!("bring {}", file_name(&imageset.name, *sequence, part))
            }
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sequence { sequence, .. } => write!(f, "sequence {sequence}"),
            Self::Part { sequence, number, count } => {
                write!(f, "part {number} of {count} of sequence {sequence}")
            }
        }
    }
}

impl fmt::Display for Imageset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name comes from a bundle, and may hold anything.
        write!(f, "imageset {} ({})", self.name.escape_debug(), self.id)
    }
}

/// The name that `create` gives the file of a sequence, or of one of its parts.
#[must_use]
pub fn file_name(imageset: &str, sequence: u64, part: Option<(u32, u32)>) -> String {
    let imageset = imageset.escape_debug();
    match part {
        None => format!("{imageset}-{sequence}.sqfs"),
        Some((number, count)) => format!("{imageset}-{sequence}.{number}-of-{count}.sqfs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_in_a_sentence_what_to_fetch_or_do() {
        let imageset = || Imageset { id: Uuid::nil(), name: "ocp-prod".to_owned() };
        let id = Uuid::nil();
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let waits = |missing| Verdict::Waits { imageset: imageset(), missing };
        let forked = |served| Verdict::Forked {
            imageset: imageset(),
            sequence: 2,
            this: a.clone(),
            other: b.clone(),
            served,
        };
        for (verdict, expected) in [
            (
                waits(Missing::Sequence { sequence: 3, unfit: false }),
                format!(
                    "waits for sequence 3 of imageset ocp-prod ({id}): bring ocp-prod-3.sqfs, \
                     or all its parts"
                ),
            ),
            (
                waits(Missing::Sequence { sequence: 3, unfit: true }),
                format!(
                    "waits for sequence 3 of imageset ocp-prod ({id}): the one that is here \
                     cannot be served, bring a sound copy of it"
                ),
            ),
            (
                waits(Missing::Part { sequence: 2, number: 2, count: 3 }),
                format!(
                    "waits for part 2 of 3 of sequence 2 of imageset ocp-prod ({id}): \
                     bring ocp-prod-2.2-of-3.sqfs"
                ),
            ),
            (
                forked(true),
                format!(
                    "imageset ocp-prod ({id}) was forked at sequence 2: {a} is here, {b} is \
                     served; remove one of the two, the one that no later sequence builds on"
                ),
            ),
            (
                forked(false),
                format!(
                    "imageset ocp-prod ({id}) was forked at sequence 2: {a} is here, {b} is \
                     here, too; remove one of the two, the one that no later sequence builds on"
                ),
            ),
            (
                Verdict::Astray {
                    imageset: imageset(),
                    sequence: 2,
                    wanted: a.clone(),
                    served: b.clone(),
                },
                format!(
                    "imageset ocp-prod ({id}) was forked at sequence 2: this bundle builds on \
                     {a}, {b} is served; bring the sequence 2 that it builds on in place of \
                     that one, or remove this bundle"
                ),
            ),
        ] {
            assert_eq!(verdict.to_string(), expected);
        }
        let odd = Imageset { id, name: "a\u{1b}[2J\n".to_owned() };
        assert_eq!(odd.to_string(), format!("imageset a\\u{{1b}}[2J\\n ({id})"));
    }
}
