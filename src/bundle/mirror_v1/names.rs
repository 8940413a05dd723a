//! What the images of an archive are called: as oc-mirror puts them in a registry, and as their
//! sources call them.

use std::collections::HashSet;

use super::metadata::{Catalog, Image, Metadata};
use crate::bundle::Error;
use crate::bundle::index::Root;
use crate::bundle::storage::root;
use crate::oci::{Digest, Name, Reference, Repository, Tag, TagOrDigest};

/// The names of the images of an archive.
pub(super) fn roots(metadata: &Metadata) -> Result<Vec<Root>, Error> {
    let platforms: HashSet<&Digest> = metadata.images.iter().flat_map(|it| &it.manifests).collect();
    let asked_for: HashSet<Reference> =
        metadata.asked_for.iter().filter_map(|it| it.parse().ok()).collect();
    let mut roots = Vec::new();
    for image in &metadata.images {
        let Some(digest) = &image.digest else { continue };
        let source: Option<Reference> = image.name.parse().ok().filter(|_| is_full(&image.name));
        // A platform of an image is reached through it.
        if source.is_none() && image.tag.is_empty() && platforms.contains(digest) {
            continue;
        }
        let tag: Option<Tag> = image.tag.parse().ok();
        if let Some(repository) = image.repository.clone() {
            roots.push(root(nowhere(repository), tag, digest.clone())?);
        }
        if let Some(source) = source {
            let tag = tag_at_source(image, digest, &source, &asked_for);
            roots.push(root(source.name(), tag, digest.clone())?);
        }
    }
    Ok(roots)
}

/// A repository of which no registry is known: that of oc-mirror's destination.
pub(super) fn nowhere(repository: Repository) -> Name {
    Name { registry: None, repository }
}

/// Whether a name has a repository: that of a platform is its digest alone.
fn is_full(name: &str) -> bool {
    name.parse::<Digest>().is_err()
}

/// The tag that the source has; oc-mirror makes tags for what it knows by digest only.
fn tag_at_source(
    image: &Image,
    digest: &Digest,
    source: &Reference,
    asked_for: &HashSet<Reference>,
) -> Option<Tag> {
    if source.tag.is_some() {
        return source.tag.clone();
    }
    let tag: Tag = image.tag.parse().ok()?;
    let by = |tag: Option<Tag>| Reference { tag, digest: None, ..source.clone() };
    let is_made = digest.hex().starts_with(tag.as_str())
        || tag.as_str() == format!("{:x}", fnv32a(image.name.as_bytes()))
        || tag.as_str() == "latest" && !asked_for.contains(&by(None));
    let asked = asked_for.contains(&by(Some(tag.clone())));
    (asked || image.keeps_tag && !is_made).then_some(tag)
}

/// The hash that oc-mirror makes tags of: <http://www.isthe.com/chongo/tech/comp/fnv/>.
fn fnv32a(bytes: &[u8]) -> u32 {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, step)
}

/// The names of a catalog, by the directory that it lies in: `HOST/PATH/TAG` or `PATH/DIGEST`.
pub(super) fn of_catalog(directory: &str, catalogs: &[Catalog]) -> Vec<(Name, Option<Tag>)> {
    let Some((path, target)) = directory.rsplit_once('/') else { return Vec::new() };
    let path = path.to_ascii_lowercase();
    let Ok(target) = target.parse::<TagOrDigest>() else { return Vec::new() };
    let tag = match &target {
        TagOrDigest::Tag(tag) => Some(tag.clone()),
        TagOrDigest::Digest(digest) => digest.hex().get(..6).and_then(|hex| hex.parse().ok()),
    };
    let is_host = |first: &str| first.contains(['.', ':']) || first == "localhost";
    let (host, repository) = match path.split_once('/') {
        Some((host, rest)) if is_host(host) => (Some(host), rest),
        _ => (None, path.as_str()),
    };
    let Ok(repository) = repository.parse::<Repository>() else { return Vec::new() };
    let mut names = vec![(nowhere(repository.clone()), tag)];
    let mut asked_for = catalogs.iter().rev().filter_map(|catalog| {
        let source: Reference = catalog.catalog.0.parse().ok()?;
        is_put_at(catalog, &source, &repository, &target).then_some(source)
    });
    let asked_for = asked_for.next().or_else(|| match target {
        TagOrDigest::Tag(tag) => format!("{}/{repository}:{tag}", host?).parse().ok(),
        TagOrDigest::Digest(digest) => format!("{}/{repository}@{digest}", host?).parse().ok(),
    });
    names.extend(asked_for.map(|source| (source.name(), source.tag)));
    names
}

/// Whether a catalog of this source is put in this place.
fn is_put_at(
    catalog: &Catalog,
    source: &Reference,
    repository: &Repository,
    target: &TagOrDigest,
) -> bool {
    let Catalog { target_catalog, target_name, target_tag, .. } = catalog;
    let path = source.repository.as_str();
    let path = match (target_catalog.0.as_str(), target_name.0.as_str()) {
        ("", "") => path.to_owned(),
        ("", name) => path
            .rsplit_once('/')
            .map_or_else(|| name.to_owned(), |(above, _)| format!("{above}/{name}")),
        (path, _) => path.to_owned(),
    };
    let tag = target_tag.0.parse().ok().map(TagOrDigest::Tag);
    path == repository.as_str() && tag.unwrap_or_else(|| source.target()) == *target
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::mirror_v1::metadata::Word;

    const HEX: &str = "076e42dbe9fe1f2a8d6a0ce1176e53f1f6e008715627ec0816b85f0948cd14bb";

    #[test]
    fn tags_that_oc_mirror_made_are_not_the_sources() {
        let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
        let name = format!("127.0.0.1:5701/team/app3@sha256:{HEX}");
        for (tag, keeps_tag, asked_for, expected) in [
            ("v1", true, "127.0.0.1:5701/team/app3:v1", Some("v1")),
            ("v1", true, "quay.io/other:v1", Some("v1")),
            ("v1", false, "quay.io/other:v1", None),
            ("v1", false, "127.0.0.1:5701/team/app3:v1", Some("v1")),
            ("latest", true, &name, None),
            ("latest", true, "127.0.0.1:5701/team/app3", Some("latest")),
            ("latest", true, "127.0.0.1:5701/team/app3:latest", Some("latest")),
            ("b2dbfb38", true, &name, None),
            ("076e42db", true, &name, None),
            ("", true, &name, None),
        ] {
            let image = Image {
                name: name.clone(),
                repository: "team/app3".parse().ok(),
                digest: Some(digest.clone()),
                tag: tag.to_owned(),
                keeps_tag,
                manifests: vec![],
                blobs: vec![],
            };
            let asked_for = HashSet::from([asked_for.parse().unwrap()]);
            let found = tag_at_source(&image, &digest, &name.parse().unwrap(), &asked_for);
            assert_eq!(found.as_ref().map(Tag::as_str), expected, "{tag} {asked_for:?}");
        }
    }

    #[test]
    fn catalogs_by_their_directories() {
        let word = |text: &str| Word(text.to_owned());
        let by_digest = format!("quay.io/a/index/sha256:{HEX}");
        for (directory, catalog, expected) in [
            ("quay.io/a/index/v4", Catalog::default(), "a/index:v4 quay.io/a/index:v4"),
            ("r:5000/A/index/v4", Catalog::default(), "a/index:v4 r:5000/a/index:v4"),
            ("home/me/index/v4", Catalog::default(), "home/me/index:v4"),
            (&by_digest, Catalog::default(), "a/index:076e42 quay.io/a/index:"),
            (
                "quay.io/b/mine/v5",
                Catalog {
                    catalog: word("quay.io/a/index:v4"),
                    target_catalog: word("b/mine"),
                    target_tag: word("v5"),
                    ..Catalog::default()
                },
                "b/mine:v5 quay.io/a/index:v4",
            ),
            (
                "quay.io/a/mine/v4",
                Catalog {
                    catalog: word("quay.io/a/index:v4"),
                    target_name: word("mine"),
                    ..Catalog::default()
                },
                "a/mine:v4 quay.io/a/index:v4",
            ),
            ("quay.io/a/../v4", Catalog::default(), ""),
            ("v4", Catalog::default(), ""),
        ] {
            let names = of_catalog(directory, &[catalog]);
            let tag = |tag: Option<Tag>| tag.map_or_else(String::new, |tag| tag.to_string());
            let names = names.into_iter().map(|(name, it)| format!("{name}:{}", tag(it)));
            assert_eq!(names.collect::<Vec<_>>().join(" "), expected, "{directory}");
        }
    }
}
