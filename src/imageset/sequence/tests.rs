//! Each row of the table, and what holds of any bundles.

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
                let mut own: Vec<_> = live.iter().filter(|it| it.sequence == sequence).collect();
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
