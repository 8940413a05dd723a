//! Versions as operators and releases have them.

use std::str::FromStr;

use super::problem::{Path, Problems};
use semver::{BuildMetadata, Prerelease, Version};

/// The versions from the lowest to the highest, both included; open where none is given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Range {
    /// The lowest.
    pub min: Option<Version>,
    /// The highest.
    pub max: Option<Version>,
}

impl Range {
    /// Whether there is a bound at all.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.min.is_some() || self.max.is_some()
    }

    /// Reads `minVersion` and `maxVersion`.
    pub(super) fn read(min: &str, max: &str, at: &Path<'_>, problems: &mut Problems<'_>) -> Self {
        let mut word = |name, text| {
            let version = problems.word::<Lenient>(&at.field(name), text);
            version.map(|Lenient(version)| version)
        };
        let range = Self { min: word("minVersion", min), max: word("maxVersion", max) };
        if let (Some(low), Some(high)) = (&range.min, &range.max)
            && low > high
        {
            let message = format!("{high} is lower than minVersion, which is {low}");
            problems.add(&at.field("maxVersion"), message);
        }
        range
    }
}

/// A semantic version that may begin with `v` and lack its last numbers, as oc-mirror takes it.
struct Lenient(Version);

impl FromStr for Lenient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let not = || format!("{text:?} is not a semantic version, such as 4.18.1");
        let rest = text.strip_prefix('v').unwrap_or(text);
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, BuildMetadata::new(build).map_err(|_| not())?),
            None => (rest, BuildMetadata::EMPTY),
        };
        let (numbers, pre) = match rest.split_once('-') {
            Some((numbers, pre)) => (numbers, Prerelease::new(pre).map_err(|_| not())?),
            None => (rest, Prerelease::EMPTY),
        };
        let mut numbers = numbers.split('.');
        let mut number = |absent: Option<u64>| match numbers.next() {
            Some(digits) if digits.bytes().all(|it| it.is_ascii_digit()) => {
                digits.parse().map_err(|_| not())
            }
            Some(_) => Err(not()),
            None => absent.ok_or_else(not),
        };
        let (major, minor, patch) = (number(None)?, number(Some(0))?, number(Some(0))?);
        if numbers.next().is_some() {
            return Err(not());
        }
        Ok(Self(Version { major, minor, patch, pre, build }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_may_lack_their_last_numbers() {
        for (text, expected) in [
            ("4.18.1", Some("4.18.1")),
            ("v4.18.1", Some("4.18.1")),
            ("4.18", Some("4.18.0")),
            ("4", Some("4.0.0")),
            ("4.10", Some("4.10.0")),
            ("2024.01.02", Some("2024.1.2")),
            ("4.18.0-rc.1+x.y", Some("4.18.0-rc.1+x.y")),
            ("4.18-rc.1", Some("4.18.0-rc.1")),
            ("", None),
            ("v", None),
            ("latest", None),
            ("4.", None),
            ("4.18.1.2", None),
            ("4.x", None),
            ("+4", None),
            ("4.18.1-", Some("4.18.1")),
            ("99999999999999999999", None),
        ] {
            let version = text.parse::<Lenient>().ok().map(|Lenient(version)| version.to_string());
            assert_eq!(version.as_deref(), expected, "{text:?}");
        }
    }
}
