//! One content in every format: each gives the answers that our own bundle of it gives, all
//! commands read it, and damage does it no more harm.
//!
//! A row is a line of [`rows!`]: what writes the files, what they are packed into, what the format
//! keeps of the content, and what `inspect` calls it. Each becomes the tests of a module.

mod answers;
mod commands;
mod damage;
mod mixed;
mod pack;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::bundle::{notes, serve};
use crate::fixtures::image::image;
use crate::fixtures::layer::{files, noise};
use crate::fixtures::{Content, foreign, imgpkg, samples};
use answers::Answers;
use pack::{
    directory, ours, squashfs_gzip, squashfs_none, squashfs_zstd, tar, tar_zstd, tar_zstd_in_parts,
};

/// Writes the files of a format.
type Write = fn(&Content, &Path);
/// Packs a tree of files: the path to serve, under a name in a directory; nothing if the program
/// that does it is not here.
type Pack = fn(&Path, &Path, &str) -> Option<PathBuf>;

/// A format in a container.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    write: Write,
    pack: Pack,
    keeps: Keeps,
    says: &'static str,
}

/// What a format keeps of a content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Keeps {
    /// All of it, with full names.
    Everything,
    /// What is on one registry, with full names.
    Registry,
    /// What is on one registry, which it does not name.
    Paths,
    /// Images without what a registry knows of them.
    Images,
}

use Keeps::{Everything, Images, Paths, Registry};

macro_rules! rows {
    ($($name:ident: $write:path, $pack:path, $keeps:path, $says:literal;)*) => {
        const ROWS: &[Row] = &[$(
            Row {
                name: stringify!($name), write: $write, pack: $pack, keeps: $keeps, says: $says,
            },
        )*];
        $(mod $name {
            use super::{answers, commands, damage, row};

            #[test]
            fn answers_as_our_own_bundle() {
                answers::compare(row(stringify!($name)));
            }

            #[test]
            fn every_command_reads_it() {
                commands::run_all(row(stringify!($name)));
            }

            #[test]
            fn damage_does_no_harm() {
                damage::inflict(row(stringify!($name)));
            }
        })*
    };
}

rows! {
    bundle: Content::write_layout, ours, Everything, "bundle (squashfs)";
    layout: Content::write_layout, directory, Everything, "OCI layout (directory)";
    layout_tar: Content::write_layout, tar, Everything, "OCI layout (tar)";
    layout_gzip: Content::write_layout, squashfs_gzip, Everything, "OCI layout (squashfs)";
    layout_zstd: Content::write_layout, squashfs_zstd, Everything, "OCI layout (squashfs)";
    layout_none: Content::write_layout, squashfs_none, Everything, "OCI layout (squashfs)";
    haul: foreign::haul, tar_zstd, Everything, "OCI layout (tar in zstd)";
    haul_in_parts: foreign::haul, tar_zstd_in_parts, Everything, "OCI layout (tar in zstd)";
    zarf_tar: foreign::zarf, tar, Everything, "OCI layout (tar)";
    zarf_zstd: foreign::zarf, tar_zstd, Everything, "OCI layout (tar in zstd)";
    skopeo: foreign::skopeo, directory, Everything, "skopeo directories (directory)";
    skopeo_tar: foreign::skopeo, tar, Everything, "skopeo directories (tar)";
    skopeo_zstd: foreign::skopeo, squashfs_zstd, Everything, "skopeo directories (squashfs)";
    talos: foreign::talos, directory, Everything, "Talos image cache (directory)";
    talos_tar: foreign::talos, tar, Everything, "Talos image cache (tar)";
    storage: foreign::storage, directory, Paths, "registry storage (directory)";
    storage_tar: foreign::storage, tar, Paths, "registry storage (tar)";
    storage_gzip: foreign::storage, squashfs_gzip, Paths, "registry storage (squashfs)";
    storage_tar_zstd: foreign::storage, tar_zstd, Paths, "registry storage (tar in zstd)";
    koffer_tar: foreign::koffer, tar, Paths, "registry storage (tar)";
    mirror_v2_tar: foreign::mirror_v2, tar, Paths, "oc-mirror v2 archive (tar)";
    mirror_v1_tar: foreign::mirror_v1, tar, Registry, "oc-mirror v1 archive (tar)";
    image_mirror: foreign::image_mirror, directory, Paths, "oc image mirror directory (directory)";
    image_mirror_tar: foreign::image_mirror, tar, Paths, "oc image mirror directory (tar)";
    zot: foreign::zot, directory, Paths, "OCI layouts (directory)";
    zot_tar: foreign::zot, tar, Paths, "OCI layouts (tar)";
    imgpkg_tar: imgpkg::write, tar, Everything, "imgpkg archive (tar)";
    docker_tar: foreign::docker, tar, Images, "docker-archive (tar)";
    docker_tar_zstd: foreign::docker, tar_zstd, Images, "docker-archive (tar in zstd)";
}

fn row(name: &str) -> Row {
    *ROWS.iter().find(|row| row.name == name).unwrap()
}

impl Row {
    /// Puts a content into a directory in this format, under the name of the row; nothing if the
    /// program that packs it is not here.
    fn make(&self, content: &Content, directory: &Path) -> Option<PathBuf> {
        let tree = TempDir::new().unwrap();
        (self.write)(content, tree.path());
        (self.pack)(tree.path(), directory, self.name)
    }
}

/// What the rows that keep the same are compared with: a bundle of ours.
struct Reference {
    content: Content,
    answers: Answers,
}

impl Keeps {
    /// As much of the content of the table as this keeps.
    fn of(self, content: &Content) -> Content {
        match self {
            Everything => content.clone(),
            Registry | Paths => content.only(|it| it.starts_with(foreign::HOST)),
            Images => {
                let images = [samples::SINGLE, samples::DOCKER, samples::PACKINGS];
                let here = content.references().map(|(it, _)| it);
                let here: Vec<_> = here.filter(|it| is_image(it, &images)).collect();
                foreign::saved(content, &here)
            }
        }
    }

    /// What our own bundle of it answers.
    fn reference(self) -> &'static Reference {
        static ALL: LazyLock<Reference> = LazyLock::new(|| Reference::of(Everything));
        static PATHS: LazyLock<Reference> = LazyLock::new(|| Reference::of(Paths));
        static IMAGES: LazyLock<Reference> = LazyLock::new(|| Reference::of(Images));
        match self {
            Everything => &ALL,
            Registry | Paths => &PATHS,
            Images => &IMAGES,
        }
    }
}

fn is_image(reference: &str, images: &[&str]) -> bool {
    images.contains(&reference) || reference.ends_with(SMALL)
}

/// What the names of images for [`damage`] end with.
const SMALL: &str = ":small";

impl Reference {
    fn of(keeps: Keeps) -> Self {
        let mut content = samples::all_but_big();
        let single = content.named(samples::SINGLE).clone();
        content.tag("quay.io/lab/single:again", &single);
        let content = keeps.of(&content);
        let work = TempDir::new().unwrap();
        let bundle = row("bundle").make(&content, work.path()).unwrap();
        let site = serve(&[&bundle]);
        assert_eq!(notes(&site, &bundle), [""; 0]);
        let answers = Answers::of(site.address(), &content);
        answers.check(&content);
        Self { content, answers }
    }
}

/// A small content, so that it can be damaged at every place.
fn small() -> Content {
    let mut content = Content::default();
    let one = image("amd64").plain_layer(files(&[("one", &noise(21, 3000))])).add(&mut content);
    content.tag("quay.io/lab/one:small", &one);
    let two = image("arm64").docker().layer(files(&[("two", b"2")])).add(&mut content);
    content.tag("quay.io/lab/two:small", &two);
    let index = content.index(&[one, two]);
    content.tag("quay.io/lab/both:v1", &index);
    content
}
