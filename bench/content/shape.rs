//! Which content there is: equal shapes give equal bytes.
//!
//! `release` has the shape of an OpenShift release (191 images, 440 blobs, sizes from
//! release-layers.txt divided by a scale); `versions` has few large images that are changed by
//! half, `carried` has as many that are not, and a smaller one before them; `index` and `many` have many tiny images (50,000 blobs, 1,000 images);
//! `tags` has one repository of 20,000 of them and one of few.

use anyhow::Result;

/// The contents.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    Release,
    Versions,
    Many,
    Carried,
    Index,
    Tags,
}

impl Content {
    /// In the order in which they are measured.
    pub(crate) const ALL: [Self; 6] =
        [Self::Release, Self::Versions, Self::Many, Self::Carried, Self::Index, Self::Tags];

    /// Its shape; small when `quick`.
    pub(crate) fn shape(self, quick: bool) -> Result<Shape> {
        let layer = if quick { 2 << 20 } else { 64 << 20 };
        Ok(match self {
            Self::Release => Shape::release(if quick { 110 } else { 11 })?,
            Self::Versions => Shape::versions(layer),
            Self::Many => Shape::many(if quick { 100 } else { 1_000 }),
            Self::Carried => Shape::carried(layer),
            Self::Index => Shape::index(if quick { 5_000 } else { 50_000 }),
            Self::Tags => Shape::tags(if quick { 1_000 } else { 20_000 }),
        })
    }

    /// Whether we serve a bundle of it.
    pub(crate) fn is_bundled(self) -> bool {
        matches!(self, Self::Release | Self::Index | Self::Tags)
    }
}

/// The shape of some content; equal shapes give equal bytes.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Images to a repository.
    pub(crate) repository: usize,
    pub(crate) images: usize,
    /// Sizes of the layers before compression: the first are shared, the last belong to one image each.
    pub(crate) layers: Vec<u64>,
    /// Shared layers that each image holds, `stride` apart.
    pub(crate) shared: usize,
    pub(crate) stride: usize,
    /// Layers that each image holds alone.
    pub(crate) own: usize,
}

/// How many large images there are in [`Shape::carried`], and images of each version in [`Shape::versions`].
pub(crate) const IMAGES: usize = 8;

/// How many images the second repository of [`Content::Tags`] has.
pub(crate) const FEW_TAGS: usize = 16;

impl Shape {
    /// 191 images, 191 configs and 249 layers, of real sizes divided by `scale`.
    fn release(scale: u64) -> Result<Self> {
        let mut sizes = Vec::new();
        for line in include_str!("release-layers.txt").lines().filter(|line| !line.starts_with('#'))
        {
            sizes.push(line.parse::<u64>()? / scale);
        }
        // Spread by a stride coprime to their number, so that shared layers are of every size.
        let layers =
            (0..sizes.len()).filter_map(|n| sizes.get(n * 101 % sizes.len()).copied()).collect();
        let (repository, images) = (usize::MAX, 191);
        Ok(Self { name: "release", repository, images, layers, shared: 4, stride: 7, own: 1 })
    }

    /// Eight images, then eight that follow them: each of four layers of `layer` bytes, two of
    /// which it has in common with its other version and with nothing else.
    fn versions(layer: u64) -> Self {
        Self {
            name: "versions",
            repository: usize::MAX,
            images: 2 * IMAGES,
            layers: vec![layer; 6 * IMAGES],
            shared: 2,
            stride: IMAGES,
            own: 2,
        }
    }

    /// Nine images of four layers, with nothing in common: the first is of a usual size, its layers
    /// are of a quarter of `layer` bytes, those of the other eight are of `layer` bytes.
    fn carried(layer: u64) -> Self {
        let mut layers = vec![layer; 4 * (IMAGES + 1)];
        layers.iter_mut().take(4).for_each(|first| *first /= 4);
        Self {
            name: "carried",
            repository: usize::MAX,
            images: IMAGES + 1,
            layers,
            shared: 0,
            stride: 1,
            own: 4,
        }
    }

    /// `images` tiny images of four layers, ten to a repository.
    fn many(images: usize) -> Self {
        let layers = vec![200; 2 * images];
        Self { name: "many", repository: 10, images, layers, shared: 3, stride: 7, own: 1 }
    }

    /// `blobs` blobs, manifests among them: a manifest, a config and a layer for each image, and shared layers.
    fn index(blobs: usize) -> Self {
        let images = blobs * 8 / 25;
        Self {
            name: "index",
            repository: 100,
            images,
            layers: vec![200; blobs - 2 * images],
            shared: 1,
            stride: 7,
            own: 1,
        }
    }

    /// A repository of `tags` images that differ in their configs, and one of few.
    fn tags(tags: usize) -> Self {
        let images = tags + FEW_TAGS;
        let layers = vec![200; 8];
        Self { name: "tags", repository: tags, images, layers, shared: 1, stride: 1, own: 0 }
    }

    /// What tells content made from another shape.
    pub(crate) fn key(&self) -> String {
        format!(
            "5 {} {} {} {} {} {}",
            self.images,
            self.shared,
            self.stride,
            self.own,
            self.layers.len(),
            self.layers.iter().sum::<u64>()
        )
    }
}
