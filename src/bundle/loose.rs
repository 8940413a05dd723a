//! Manifests that lie under another name than their digest.

use std::collections::HashSet;
use std::io;

use super::index::Root;
use super::tree::Stored;
use super::{Error, Problem};
use crate::oci::{
    Descriptor, Digest, MAX_MANIFEST_SIZE, Manifest, Name, Reference, Tag, TagOrDigest,
};

/// How many bytes of them are read of one bundle: a container may name one file a million times.
const MAX_BYTES: u64 = 1 << 30;

/// Reads such manifests, as many as one bundle may have.
#[derive(Debug)]
pub(super) struct Reader {
    left: u64,
    /// What the indexes among them list.
    children: HashSet<Digest>,
    /// The digests under which some of them lie.
    named: HashSet<Digest>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { left: MAX_BYTES, children: HashSet::new(), named: HashSet::new() }
    }

    /// Reads a manifest for its digest and type. One that lies under a digest has that one, true
    /// or not: whoever reads it verifies it.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or there are too many; what is no manifest is a problem of its own.
    pub(super) fn read(
        &mut self,
        path: &str,
        stored: &Stored,
        named: Option<&Digest>,
    ) -> Result<Result<Descriptor, Problem>, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let too_many =
            || io::Error::new(io::ErrorKind::FileTooLarge, "there are too many manifests");
        let left = self.left.checked_sub(stored.length());
        self.left = left.ok_or_else(|| failed(too_many()))?;
        let content = stored.open().and_then(|content| content.read_all(MAX_MANIFEST_SIZE));
        let bytes = content.map_err(failed)?;
        let digest = named.cloned().unwrap_or_else(|| Digest::of(&bytes));
        self.named.extend(named.cloned());
        Ok(match Manifest::parse(&bytes, None) {
            Ok(manifest) => {
                let children = manifest.children.into_iter().map(|child| child.descriptor.digest);
                self.children.extend(children);
                Ok(Descriptor::new(manifest.media_type, digest, bytes.len() as u64))
            }
            Err(error) => Err(Problem::Unreadable { digest, reason: format!("{path}: {error}") }),
        })
    }

    /// The roots of these, each with its path, where every manifest lies under its digest, too:
    /// without what is there only because an index lists it.
    ///
    /// A tag's manifest that lies under no digest is altered, or not all of it is here.
    pub(super) fn roots(self, found: Vec<(&str, Root)>, problems: &mut Vec<Problem>) -> Vec<Root> {
        let is_known = |root: &Root| match root.tag {
            Some(_) => self.named.contains(&root.descriptor.digest),
            None => true,
        };
        let (known, unknown): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| is_known(&it.1));
        let reason = "no digest that is here names it";
        problems.extend(
            unknown.into_iter().map(|(path, _)| Problem::Omitted { path: path.to_owned(), reason }),
        );
        let roots = known.into_iter().map(|(_, root)| root);
        roots
            .filter(|it| it.tag.is_some() || !self.children.contains(&it.descriptor.digest))
            .collect()
    }
}

/// The root that a manifest is under a name, `HOST/PATH:TAG` or `PATH:TAG`, or the same with `@`
/// and a digest; nothing if that is no name.
pub(super) fn root(name: &str, target: &TagOrDigest, descriptor: Descriptor) -> Option<Root> {
    let tag = match target {
        TagOrDigest::Tag(tag) => Some(tag.clone()),
        TagOrDigest::Digest(_) => None,
    };
    Some(Root { name: named(name, tag.as_ref())?, tag, descriptor })
}

/// A name as paths have it: with a registry if the first part can only be one.
pub(super) fn named(name: &str, tag: Option<&Tag>) -> Option<Name> {
    let (first, _) = name.split_once('/').unwrap_or((name, ""));
    if !(first.contains(['.', ':']) || first == "localhost") {
        return Some(Name { registry: None, repository: name.parse().ok()? });
    }
    let tag = tag.map_or("latest", Tag::as_str);
    Some(format!("{name}:{tag}").parse::<Reference>().ok()?.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::MediaType;

    #[test]
    fn names_of_paths() {
        let digest = Digest::of(b"");
        let by_digest = digest.to_string();
        for (name, target, expected) in [
            ("quay.io/a/b", "v1", Some("quay.io/a/b v1")),
            ("localhost:5000/a", "v1", Some("localhost:5000/a v1")),
            ("a/b", "v1", Some("a/b v1")),
            ("a/b", &by_digest, Some("a/b -")),
            ("a/B", "v1", None),
            ("", "v1", None),
            ("a", "", None),
            ("a", "sha256:1", None),
        ] {
            let media_type = MediaType::OCI_MANIFEST.parse().unwrap();
            let descriptor = Descriptor::new(media_type, digest.clone(), 0);
            let parsed = target.parse::<TagOrDigest>().ok();
            let found = parsed.and_then(|target| root(name, &target, descriptor)).map(|it| {
                let tag = it.tag.map_or_else(|| "-".to_owned(), |tag| tag.to_string());
                format!("{} {tag}", it.name)
            });
            assert_eq!(found.as_deref(), expected, "{name} {target}");
        }
    }
}
