//! Images to leave out, by regular expressions of Go.
//!
//! Those of Rust are near: neither looks back, both match in linear time. What means something
//! else in Go is refused, so that no image is carried or left out by a misunderstanding.

use std::str::FromStr;

use regex::bytes::{Regex, RegexBuilder};

use super::file;
use super::problem::{Path, Problems};
use crate::oci::Reference;

/// How large one regular expression may become, in bytes of memory.
const MAX_SIZE: usize = 64 << 10;

/// How deep the groups of one may lie in each other.
const MAX_DEPTH: u32 = 64;

/// How many there may be.
const MAX_BLOCKED: usize = 1000;

/// A regular expression for images to leave out.
#[derive(Clone, Debug)]
pub struct Blocked(Regex);

impl Blocked {
    /// The regular expression, as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it matches somewhere in the reference.
    #[must_use]
    pub fn matches(&self, reference: &Reference) -> bool {
        self.0.is_match(reference.to_string().as_bytes())
    }

    pub(super) fn list(
        blocked: &[file::BlockedImage],
        at: &Path<'_>,
        problems: &mut Problems<'_>,
    ) -> Vec<Self> {
        if blocked.len() > MAX_BLOCKED {
            let message = format!("these are {}; at most {MAX_BLOCKED} are read", blocked.len());
            problems.add(at, message);
        }
        let read = |(number, blocked): (usize, &file::BlockedImage)| {
            problems.word(&at.item(number).field("name"), &blocked.name)
        };
        blocked.iter().take(MAX_BLOCKED).enumerate().filter_map(read).collect()
    }
}

impl FromStr for Blocked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(sign) = foreign(text) {
            return Err(format!("{text:?} has {sign:?}, which means something else in Go"));
        }
        // References are ASCII; so are the classes of Go's regular expressions.
        let built = RegexBuilder::new(text)
            .unicode(false)
            .size_limit(MAX_SIZE)
            .dfa_size_limit(MAX_SIZE)
            .nest_limit(MAX_DEPTH)
            .build();
        built.map(Self).map_err(|error| {
            let reason = match &error {
                // Of several lines, the last says what is wrong; the others draw where.
                regex::Error::Syntax(drawn) => drawn.lines().next_back().unwrap_or_default(),
                regex::Error::CompiledTooBig(_) => "it is too large",
                _ => "it cannot be read",
            };
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            let advice = if text.starts_with('*') { "; `.*` matches anything" } else { "" };
            format!("{text:?} is not a regular expression: {reason}{advice}")
        })
    }
}

/// What Rust takes for an operation on classes or a boundary of words, and Go does not.
fn foreign(text: &str) -> Option<&'static str> {
    let mut class = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let signs: &[&str] =
            if class { &["&&", "--", "~~"] } else { &[r"\<", r"\>", r"\b{", r"\B{"] };
        if let Some(sign) = signs.iter().find(|sign| rest.starts_with(**sign)) {
            return Some(sign);
        }
        let next = rest.strip_prefix(c).unwrap_or_default();
        rest = match c {
            '\\' => next.chars().next().and_then(|it| next.strip_prefix(it)).unwrap_or_default(),
            '[' if class => {
                let named = next.strip_prefix(':').and_then(|name| name.split_once(":]"));
                let Some((_, after)) = named else { return Some("[") };
                after
            }
            '[' => {
                class = true;
                let next = next.strip_prefix('^').unwrap_or(next);
                // The first of a class stands for itself.
                next.strip_prefix(']').unwrap_or(next)
            }
            ']' => {
                class = false;
                next
            }
            _ => next,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 4] =
        ["quay.io/ns/app:v1", "docker.io/library/busybox:1", "q.io/debug_x@sha256:aa", "q.e"];

    #[test]
    fn what_go_matches() {
        // Made with Go 1.26.
        for (pattern, expected) in [
            ("[[:alpha:]]+", "1111"),
            ("(?i)QUAY", "1000"),
            ("(?U)a+", "1110"),
            (r"\d", "1110"),
            (r"\w+", "1111"),
            (r"^quay\.io/", "1000"),
            ("x*?", "1111"),
            ("(?P<n>a)", "1110"),
            ("(?<n>a)", "1110"),
            (r"\/", "1110"),
            (r"\-", "0000"),
            (r"\_", "0010"),
            ("(?s).", "1111"),
            (r"\z", "1111"),
            (r"\A", "1111"),
            (r"\x{41}", "0000"),
            ("[^/]+/[^:]+:1$", "0100"),
            ("[]a]", "1110"),
            ("a|", "1111"),
            ("()", "1111"),
            (r"\b", "1111"),
            ("(?m)^", "1111"),
            ("é", "0000"),
            ("a--b", "0000"),
            (r"[\[]&&", "0000"),
            ("[]]&&", "0000"),
            ("[[:digit:]x]$", "1100"),
        ] {
            let blocked: Blocked = pattern.parse().unwrap();
            let matches = |text: &&str| if blocked.0.is_match(text.as_bytes()) { '1' } else { '0' };
            assert_eq!(TEXTS.iter().map(matches).collect::<String>(), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_refused() {
        // Go takes those of the first line, but means something else or what nobody writes.
        let go = [
            "a{",
            "{",
            "[[a]",
            r"\Qq\E",
            r"\pL",
            "[a&&b]",
            "[]&&a]",
            "[^]~~a]",
            "[a[b]]",
            "[[:alpha:]&&a]",
            r"\<",
            r"\07",
            r"\b{start}",
        ];
        let nobody =
            [r"\C", "[a--b]", r"[a-\d]", r"\Z", r"\h", "[a-z", "*a", "a(b", "(?=a)", r"(a)\1"];
        for pattern in go.into_iter().chain(nobody) {
            assert!(pattern.parse::<Blocked>().is_err(), "{pattern}");
        }
    }
}
