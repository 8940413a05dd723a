//! Which blobs lie together in which bundle, where one must not be larger than a medium: a pure
//! function of sizes.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::oci::{Digest, blob_path};

/// What one file costs besides its bytes: alignment, inode, its names in the directory, its index
/// and the record; more than any does.
const OVERHEAD: u64 = 4096 + 1024;
/// The same for each MiB: the size of a block.
const PER_BLOCK: u64 = 8;
/// What an image costs that holds nothing.
const EMPTY: u64 = 64 << 10;

/// A blob that fits in no part.
#[derive(Debug, thiserror::Error)]
#[error(
    "blob {digest} of {size} bytes does not fit in a bundle of {limit} bytes: {least} would do"
)]
pub struct TooLarge {
    /// Which.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
    /// The size that was allowed, in bytes.
    pub limit: u64,
    /// The smallest that would do, in bytes.
    pub least: u64,
}

/// Spreads blobs over as few parts of at most `limit` bytes as first fit decreasing finds.
///
/// Every part has `documents` bytes besides. The same sizes give the same parts.
///
/// # Errors
///
/// When the largest blob fits in none.
pub(super) fn split(
    blobs: &BTreeMap<Digest, u64>,
    documents: u64,
    limit: u64,
) -> Result<Vec<BTreeMap<Digest, u64>>, TooLarge> {
    let empty = EMPTY.saturating_add(documents);
    let mut largest_first: Vec<_> = blobs.iter().collect();
    largest_first.sort_by_key(|(digest, size)| (Reverse(**size), *digest));
    let mut parts: Vec<(u64, BTreeMap<Digest, u64>)> = Vec::new();
    for (digest, size) in largest_first {
        let cost = cost(digest, *size);
        let least = empty.saturating_add(cost);
        if least > limit {
            return Err(TooLarge { digest: digest.clone(), size: *size, limit, least });
        }
        let fits = |(used, _): &&mut (u64, _)| limit - *used >= cost;
        match parts.iter_mut().find(fits) {
            Some((used, part)) => {
                *used += cost;
                part.insert(digest.clone(), *size);
            }
            None => parts.push((least, BTreeMap::from([(digest.clone(), *size)]))),
        }
    }
    if parts.is_empty() {
        parts.push((empty, BTreeMap::new()));
    }
    Ok(parts.into_iter().map(|(_, part)| part).collect())
}

/// What a blob takes of a part, at most.
fn cost(digest: &Digest, size: u64) -> u64 {
    let names = 4 * blob_path(digest).len() as u64;
    let blocks = (size >> 20).saturating_add(1).saturating_mul(PER_BLOCK);
    size.saturating_add(blocks).saturating_add(names + OVERHEAD)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bundle::squashfs::Layout;

    fn blobs(sizes: &[u64]) -> BTreeMap<Digest, u64> {
        let digest = |at: usize| Digest::of(&at.to_le_bytes());
        sizes.iter().enumerate().map(|(at, size)| (digest(at), *size)).collect()
    }

    #[test]
    fn what_fits_lies_together_and_what_does_not_is_named() {
        let mib = 1 << 20;
        let parts = split(&blobs(&[3 * mib, 3 * mib, mib, mib]), 0, 5 * mib).unwrap();
        let sizes: Vec<u64> = parts.iter().map(|part| part.values().sum()).collect();
        assert_eq!(sizes, [4 * mib, 4 * mib]);
        assert_eq!(split(&blobs(&[]), 0, mib).unwrap().len(), 1);

        let refused = split(&blobs(&[mib, 2 * mib]), 100, mib).unwrap_err();
        assert_eq!(refused.size, 2 * mib);
        assert!(split(&blobs(&[mib, 2 * mib]), 100, refused.least).is_ok());
        assert!(split(&blobs(&[mib, 2 * mib]), 100, refused.least - 1).is_err());
        assert!(split(&blobs(&[u64::MAX]), u64::MAX, u64::MAX - 1).is_err());
    }

    proptest! {
        #[test]
        fn no_part_is_too_large_and_nothing_is_lost(
            sizes in prop::collection::vec(0_u64..3_000_000, 0..200),
            limit in 3_200_000_u64..9_000_000,
        ) {
            let all = blobs(&sizes);
            let parts = split(&all, 1000, limit).unwrap();
            let mut found = BTreeMap::new();
            for part in parts {
                // Each blob has an entry in the record, of some 130 bytes.
                let record = ("r".to_owned(), 1000 + 130 * part.len() as u64);
                let files = part.iter().map(|(digest, size)| (blob_path(digest), *size));
                let layout = Layout::plan([record].into_iter().chain(files).collect()).unwrap();
                prop_assert!(layout.image_size() <= limit, "{} > {limit}", layout.image_size());
                found.extend(part);
            }
            prop_assert_eq!(found, all);
        }
    }
}
