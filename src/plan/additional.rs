//! The images that a configuration lists one by one.

use super::wanted::{Origin, Wanted};
use crate::imageset::config::{AdditionalImage, Blocked, Config, ImageName};
use crate::oci::{Platform, Reference};

/// What a configuration lists, and what of it is blocked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Additional {
    /// What to carry.
    pub wanted: Vec<Wanted>,
    /// What the configuration blocks, and by which expression.
    pub blocked: Vec<(Reference, String)>,
}

impl Additional {
    /// Reads what a configuration lists.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut additional = Self::default();
        for image in &config.mirror.additional_images {
            match blocked(image, &config.mirror.blocked_images) {
                Some(blocked) => additional.blocked.push(blocked),
                None => additional.wanted.push(wanted(image)),
            }
        }
        additional
    }
}

fn wanted(image: &AdditionalImage) -> Wanted {
    let platforms = image.platforms.iter().map(|platform| Platform {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
        os_version: None,
        os_features: Vec::new(),
    });
    Wanted {
        origin: match &image.name {
            ImageName::Remote(reference) => Origin::Remote(reference.clone()),
            ImageName::Layout(path) => Origin::Local { paths: vec![path.clone()], reference: None },
        },
        target_repository: image.target_repo.clone(),
        target_tag: image.target_tag.clone(),
        platforms: platforms.collect(),
    }
}

/// Whether an image is blocked by its own name or by the one it is to have: which, and by what.
fn blocked(image: &AdditionalImage, by: &[Blocked]) -> Option<(Reference, String)> {
    let ImageName::Remote(reference) = &image.name else { return None };
    let names = [Some(reference.clone()), image.target()];
    let matches = |blocked: &&Blocked| names.iter().flatten().any(|name| blocked.matches(name));
    let blocked = by.iter().find(matches)?;
    Some((reference.clone(), blocked.as_str().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_wanted_unless_it_is_blocked() {
        let config = Config::parse(
            "kind: ImageSetConfiguration\n\
             apiVersion: mirror.openshift.io/v2alpha1\n\
             mirror:\n  \
               additionalImages:\n  \
               - name: quay.io/a/b:v1\n    \
                 targetRepo: c/d\n    \
                 platforms: [{os: linux, architecture: arm64}]\n  \
               - name: quay.io/a/alpha:v1\n  \
               - name: quay.io/e/f:v1\n    \
                 targetRepo: alpine\n  \
               - name: oci:///srv/layout\n  \
               blockedImages:\n  \
               - name: /alp\n",
        )
        .unwrap();
        let Additional { wanted, blocked } = Additional::of(&config);
        let blocked: Vec<String> = blocked.iter().map(|(it, by)| format!("{it} {by}")).collect();
        assert_eq!(blocked, ["quay.io/a/alpha:v1 /alp", "quay.io/e/f:v1 /alp"]);
        let [first, layout] = wanted.as_slice() else { panic!("{wanted:?}") };
        assert_eq!(first.origin, Origin::Remote("quay.io/a/b:v1".parse().unwrap()));
        assert_eq!(first.target_repository, "c/d".parse().ok());
        assert_eq!(first.platforms[0].to_string(), "linux/arm64");
        let paths = vec!["/srv/layout".into()];
        assert_eq!(layout.origin, Origin::Local { paths, reference: None });
    }
}
