//! Digests: the names of blobs.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests>

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

use super::text::parsed;
use super::{Error, shown};

/// A registered digest algorithm.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name before the colon.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// The digest of some bytes.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Digest {
    /// 32 bytes of SHA-256.
    Sha256([u8; 32]),
    /// 64 bytes of SHA-512; boxed, because it is rare and an index holds many digests.
    Sha512(Box<[u8; 64]>),
}

impl Digest {
    /// The SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::Sha256(Sha256::digest(bytes).into())
    }

    /// Which algorithm made it.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The first bytes, as a number: few digests have the same.
    #[must_use]
    pub fn beginning(&self) -> u32 {
        let bytes = match self {
            Self::Sha256(bytes) => bytes.first_chunk(),
            Self::Sha512(bytes) => bytes.first_chunk(),
        };
        bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    /// The part after the colon.
    #[must_use]
    pub fn hex(&self) -> String {
        match self {
            Self::Sha256(bytes) => hex::encode(bytes),
            Self::Sha512(bytes) => hex::encode(&bytes[..]),
        }
    }

    /// Whether `bytes` have this digest.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let mut hasher = Hasher::new(self.algorithm());
        hasher.update(bytes);
        hasher.finish() == *self
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fault = || Error::Digest(shown(text));
        let (algorithm, encoded) = text.split_once(':').ok_or_else(fault)?;
        // All of them, without an early end: that is done many bytes at a time.
        let is_lower = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !encoded.bytes().fold(true, |all, byte| all & is_lower(byte)) {
            return Err(fault());
        }
        match algorithm {
            "sha256" => {
                let mut bytes = [0; 32];
                hex::decode_to_slice(encoded, &mut bytes).map_err(|_| fault())?;
                Ok(Self::Sha256(bytes))
            }
            "sha512" => {
                let mut bytes = Box::new([0; 64]);
                hex::decode_to_slice(encoded, &mut bytes[..]).map_err(|_| fault())?;
                Ok(Self::Sha512(bytes))
            }
            _ => Err(fault()),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm().name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// Makes a digest of bytes that come piece by piece.
#[derive(Clone, Debug)]
pub enum Hasher {
    /// In the middle of SHA-256.
    Sha256(Sha256),
    /// In the middle of SHA-512.
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// Begins.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Box::default()),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            Self::Sha512(hasher) => Digest::Sha512(Box::new(hasher.finalize().into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_lower_case_full_length() {
        let zeros = "0".repeat(64);
        for (text, good) in [
            (format!("sha256:{zeros}"), true),
            (format!("sha512:{zeros}{zeros}"), true),
            (format!("sha512:{zeros}"), false),
            (format!("sha256:{zeros}0"), false),
            (format!("sha256:{}", "A".repeat(64)), false),
            (format!("md5:{}", "0".repeat(32)), false),
            (format!("SHA256:{zeros}"), false),
            (zeros.clone(), false),
            (String::new(), false),
            ("sha256:".to_owned(), false),
        ] {
            let parsed = text.parse::<Digest>();
            assert_eq!(parsed.is_ok(), good, "{text}");
            if let Ok(digest) = parsed {
                assert_eq!(digest.to_string(), text);
            }
        }
    }

    #[test]
    fn hashing_in_pieces_equals_hashing_whole() {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(b"ab");
        hasher.update(b"c");
        let digest = hasher.finish();
        assert_eq!(digest, Digest::of(b"abc"));
        assert!(digest.matches(b"abc") && !digest.matches(b"abd"));
        assert!(digest.hex().starts_with("ba7816bf"));
        assert_eq!(digest.beginning(), 0xba78_16bf);
    }
}
