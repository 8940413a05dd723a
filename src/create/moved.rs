//! Tags that were given to another image while a bundle was made.

use futures_util::{StreamExt, stream};

use super::resolved::Resolution;
use crate::oci::{Digest, Reference, TagOrDigest};
use crate::source::Source;

/// A tag that was given to another image while the bundle was made.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Moved {
    /// The tag.
    pub reference: Reference,
    /// What the bundle carries under it.
    pub carried: Digest,
    /// What its registry has under it now.
    pub now: Digest,
}

impl Moved {
    /// Those of `images`, as far as their registries say.
    pub(super) async fn among<'r, R: Source>(
        remote: &R,
        images: impl Iterator<Item = &'r Resolution>,
        parallel: usize,
    ) -> Vec<Self> {
        let tagged = images.filter(|it| it.is_remote).filter_map(|it| {
            let target = it.reference.target();
            matches!(target, TagOrDigest::Tag(_)).then_some((it, target))
        });
        let asked = stream::iter(tagged).map(|(image, target)| async move {
            let Resolution { reference, plan, .. } = image;
            let carried = plan.root.clone()?;
            let now = remote.resolve(&reference.name(), &target).await.ok()?.digest;
            (now != carried).then(|| Self { reference: reference.clone(), carried, now })
        });
        let moved: Vec<_> = asked.buffer_unordered(parallel).collect().await;
        let mut moved: Vec<_> = moved.into_iter().flatten().collect();
        moved.sort_by(|a, b| a.reference.cmp(&b.reference));
        moved
    }
}
