//! Archives that the tools themselves make of what a registry has, served where they lie.
//!
//! Where a format keeps the manifests they are the registry's; where it does not, the
//! configuration and the layers are, and the manifest that shipperd makes is always the same.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::made::Made;
use super::{notes, resolve, serve, storage::inspect, tags};
use crate::clients::Client as _;
use crate::clients::containerd::Containerd;
use crate::clients::docker::Docker;
use crate::clients::podman::Engine;
use crate::fixtures::image::image;
use crate::fixtures::layer::{files, noise};
use crate::fixtures::{Content, digest};
use crate::program::{program, run};
use crate::site::{Site, Transport};
use crate::spec::wire;

/// A registry, what is in it, and room for archives.
struct Source {
    content: Content,
    registry: Site,
    work: TempDir,
    app: String,
    two: String,
    packings: String,
}

impl Source {
    /// An index of two platforms, docker's manifest of an image that has a layer twice and one
    /// without files, and an image with all packings.
    fn start() -> Option<Self> {
        let mut content = Content::default();
        let base = files(&[("etc/base", &noise(1, 30_000))]);
        let children = ["amd64", "arm64"].map(|architecture| {
            let own = files(&[("etc/app", architecture.as_bytes())]);
            image(architecture).layer(base.clone()).layer(own).add(&mut content)
        });
        let app = content.index(&children);
        content.tag("quay.io/lab/app:v1", &app);
        let two = image("amd64").docker().layer(base.clone()).layer(files(&[("etc/two", b"2")]));
        let two = two.layer(base).layer(files(&[])).add(&mut content);
        content.tag("quay.io/lab/two:v1", &two);
        let packings = image("amd64").layer(files(&[("gzip", &noise(2, 3_000))]));
        let packings = packings.zstd_layer(files(&[("zstd", &noise(3, 300_000))]));
        let packings = packings.plain_layer(files(&[("plain", &noise(4, 3_000))]));
        let packings = packings.add(&mut content);
        content.tag("quay.io/lab/packings:v1", &packings);
        let registry = Site::distribution(&content, "quay.io", Transport::Http)?;
        let [app, two, packings] = [app, two, packings].map(|it| it.digest);
        Some(Self { content, registry, work: TempDir::new().unwrap(), app, two, packings })
    }

    /// What a tool calls an image of the registry.
    fn name(&self, image: &str) -> String {
        format!("{}/lab/{image}:v1", self.registry.address())
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.work.path().join(file)
    }

    /// The manifest for the platform that tools take.
    fn amd64(&self, image: &str) -> String {
        self.content.for_platform(image, "amd64")
    }

    /// Serves an archive without manifests; the images are those of the registry.
    #[track_caller]
    fn is_made(&self, file: &Path, images: &[(&str, &String)]) -> Vec<Made> {
        let site = serve(&[file]);
        let made: Vec<Made> = images
            .iter()
            .map(|(name, source)| {
                let (repository, tag) = name.rsplit_once(':').unwrap();
                let made = Made::of(&site, repository, tag);
                made.is_of(&self.content, &self.amd64(source));
                is_taken(&site, repository, tag);
                made
            })
            .collect();
        assert_eq!(notes(&site, file), [""; 0], "{file:?}");
        let elsewhere = TempDir::new().unwrap();
        let copy = elsewhere.path().join("other.tar");
        fs::copy(file, &copy).unwrap();
        let again = serve(&[&copy]);
        for (made, (name, _)) in made.iter().zip(images) {
            let (repository, tag) = name.rsplit_once(':').unwrap();
            assert_eq!(resolve(&again, repository, tag).as_ref(), Some(&made.digest), "{name}");
        }
        made
    }

    /// Serves an archive with the manifests of the registry.
    #[track_caller]
    fn is_kept(&self, file: &Path, images: &[(&str, &String)]) {
        let site = serve(&[file]);
        for (name, source) in images {
            let (repository, target) = name.rsplit_once(':').unwrap();
            assert_eq!(resolve(&site, repository, target).as_ref(), Some(*source), "{name}");
            for digest in self.content.closure(source) {
                let target = format!("/v2/{repository}/blobs/{digest}");
                let answer = wire::get(site.address(), &target);
                assert!(answer.body == self.content.bytes(&digest), "{target}");
            }
            is_taken(&site, repository, target);
        }
        assert_eq!(notes(&site, file), [""; 0], "{file:?}");
    }
}

/// A client copies all of an image.
#[track_caller]
fn is_taken(site: &Site, repository: &str, tag: &str) {
    let Some(mut skopeo) = program("skopeo") else { return };
    let copied = TempDir::new().unwrap();
    skopeo.args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "--all"]);
    skopeo.arg(format!("docker://{}/{repository}:{tag}", site.address()));
    run(skopeo.arg(format!("oci:{}:copied", copied.path().display())));
}

#[test]
fn skopeo() {
    let Some(source) = program("skopeo").and_then(|_| Source::start()) else { return };
    let copy = |image: &str, options: &[&str], target: &str| {
        let mut skopeo = program("skopeo").unwrap();
        skopeo.args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]);
        let from = format!("docker://{}", source.name(image));
        run(skopeo.current_dir(source.work.path()).args(options).arg(from).arg(target));
    };
    copy("app", &[], "docker-archive:app.tar:quay.io/lab/app:v1");
    source.is_made(&source.path("app.tar"), &[("lab/app:v1", &source.app)]);
    copy("two", &[], "docker-archive:two.tar:lab/two:v1");
    let two = [("lab/two:v1", &source.two), ("docker.io/lab/two:v1", &source.two)];
    source.is_made(&source.path("two.tar"), &two);
    // Without a name it has that of its file.
    copy("two", &[], "docker-archive:nameless.tar");
    let digest = source.is_made(&source.path("two.tar"), &two)[0].digest.clone();
    let site = serve(&[&source.path("nameless.tar")]);
    Made::of(&site, "nameless", &digest).is_of(&source.content, &source.two);
    let all = ["--all", "--preserve-digests"];
    copy("app", &all, "oci-archive:oci.tar:quay.io/lab/app:v1");
    source.is_kept(&source.path("oci.tar"), &[("lab/app:v1", &source.app)]);
    copy("app", &all, "oci-archive:tagged.tar:v7");
    source.is_kept(&source.path("tagged.tar"), &[("tagged:v7", &source.app)]);
    copy("packings", &all, "oci:layout:lab/packings:v1");
    source.is_kept(&source.path("layout"), &[("lab/packings:v1", &source.packings)]);
}

#[test]
fn podman_and_buildah() {
    let Some(podman) = Engine::Podman.installed() else { return };
    let Some(source) = Source::start() else { return };
    let storage = source.path("storage");
    // zstd it pulls, and saves as none of these.
    let [app, two] = ["app", "two"].map(|it| source.name(it));
    for name in [&app, &two] {
        run(podman.command(&storage).args(["pull", "--quiet", "--tls-verify=false", name]));
    }
    let save = |options: &[&str], file: &str, names: &[&String]| {
        let file = source.path(file);
        let mut save = podman.command(&storage);
        run(save.args(["save", "--quiet"]).args(options).arg("--output").arg(&file).args(names));
        file
    };
    let images = [("lab/app:v1", &source.app), ("lab/two:v1", &source.two)];
    for (name, image) in [&app, &two].into_iter().zip(&images) {
        let file = save(&[], "single.tar", &[name]);
        source.is_made(&file, &[*image]);
        fs::remove_file(file).unwrap();
    }
    let many = save(&["--multi-image-archive"], "many.tar", &[&app, &two]);
    source.is_made(&many, &images);
    // The layer that two images have, one of them twice, is there once.
    let bundle = shipperd::bundle::open(&many, true).unwrap();
    let layers = bundle.index.blobs().len() - 2 * images.len();
    assert_eq!(layers, 2 + 3 - 1, "{:?}", bundle.index.blobs());
    for format in ["oci-archive", "oci-dir"] {
        let file = save(&["--format", format], format, &[&two]);
        Made::of(&serve(&[&file]), "lab/two", "v1").has_layers_of(&source.content, &source.two);
    }
    let directory = save(&["--format", "docker-dir"], "dir", &[&two]);
    let manifest = digest(&fs::read(directory.join("manifest.json")).unwrap());
    let packed = source.path("packed.tar");
    run(Command::new("tar").arg("-C").arg(&directory).arg("-cf").arg(&packed).arg("."));
    Made::of(&serve(&[&packed]), "packed", &manifest).is_of(&source.content, &source.two);

    let site = serve(&[&many]);
    let empty = TempDir::new().unwrap();
    let pulled = podman.pull(&site, &format!("{}/lab/two:v1", site.address()), empty.path());
    assert_eq!(pulled.files, Some(source.content.files(&source.two)));

    let Some(buildah) = Engine::Buildah.installed() else { return };
    let push = |target: &str| {
        let target = target.replace("DIR", source.work.path().to_str().unwrap());
        run(buildah.command(&storage).args(["push", "--quiet", &two, &target]));
    };
    push("docker-archive:DIR/buildah.tar:quay.io/b/two:v3");
    // It writes the names that the image had, too.
    let names = [("b/two:v3", &source.two), ("lab/two:v1", &source.two)];
    source.is_made(&source.path("buildah.tar"), &names);
    push("oci-archive:DIR/buildah-oci.tar:v3");
    let site = serve(&[&source.path("buildah-oci.tar")]);
    Made::of(&site, "buildah-oci", "v3").has_layers_of(&source.content, &source.two);
}

#[test]
fn crane() {
    let Some(source) = program("crane").and_then(|_| Source::start()) else { return };
    let names = ["app", "two", "packings"].map(|it| source.name(it));
    let pull = |options: &[&str], names: &[String], file: &str| {
        let file = source.path(file);
        run(program("crane").unwrap().arg("pull").args(options).args(names).arg(&file));
        file
    };
    let images = [
        ("lab/app:v1", &source.app),
        ("lab/two:v1", &source.two),
        ("lab/packings:v1", &source.packings),
    ];
    let amd64 = ["--platform", "linux/amd64"];
    let file = pull(&amd64, &names, "images.tar");
    for (made, (_, image)) in source.is_made(&file, &images).iter().zip(images) {
        // Layers are as they were.
        let manifest = source.content.parsed(&source.amd64(image)).unwrap();
        let digests = |it: &Value| -> Vec<Value> {
            let layers = it["layers"].as_array().unwrap();
            layers.iter().map(|layer| layer["digest"].clone()).collect()
        };
        assert_eq!(digests(&made.manifest), digests(&manifest));
    }
    let legacy = pull(&["--format", "legacy", "--platform", "linux/amd64"], &names[..1], "v1.tar");
    source.is_made(&legacy, &images[..1]);
    let named = pull(&["--format", "oci", "--annotate-ref"], &names, "named");
    source.is_kept(&named, &images);
    let nameless = pull(&["--format", "oci"], &names[..1], "nameless");
    let packed = source.path("packed.tar");
    run(Command::new("tar").arg("-C").arg(&nameless).arg("-cf").arg(&packed).arg("."));
    for (file, name) in [(&nameless, "nameless"), (&packed, "packed")] {
        let site = serve(&[file]);
        assert_eq!(resolve(&site, name, &source.app).as_ref(), Some(&source.app));
        let listed = inspect(&[file]);
        assert!(listed.contains(&format!("{name}@{}", source.app)), "{listed}");
    }
}

#[test]
fn regctl() {
    let Some(source) = program("regctl").and_then(|_| Source::start()) else { return };
    let regctl = |arguments: &[&str]| {
        let mut regctl = program("regctl").unwrap();
        regctl.env("REGCTL_CONFIG", source.path("config.json")).current_dir(source.work.path());
        run(regctl.args(arguments));
    };
    regctl(&["registry", "set", source.registry.address(), "--tls", "disabled", "--skip-check"]);
    regctl(&["image", "export", &source.name("app"), "app.tar"]);
    source.is_kept(&source.path("app.tar"), &[("lab/app:v1", &source.app)]);
    regctl(&["image", "export", "--name", "quay.io/x/y:z", &source.name("two"), "two.tar"]);
    source.is_kept(&source.path("two.tar"), &[("x/y:z", &source.two)]);
}

#[test]
fn containerd() {
    let Some(containerd) = Containerd::start() else { return };
    let Some(source) = Source::start() else { return };
    let [app, two] = ["app", "two"].map(|it| source.name(it));
    let pull = |all: &[&str], name: &String| {
        let mut pull = containerd.ctr();
        pull.args(["images", "pull", "--plain-http", "--snapshotter", "native"]).args(all);
        run(pull.arg(name));
    };
    let export = |options: &[&str], file: &str, names: &[&String]| {
        let file = source.path(file);
        run(containerd.ctr().args(["images", "export"]).args(options).arg(&file).args(names));
        file
    };
    pull(&[], &app);
    pull(&[], &two);
    let file = export(&["--platform", "linux/amd64"], "one.tar", &[&app, &two]);
    let site = serve(&[&file]);
    // The index is as it was and leaves a platform out: that is no damage.
    assert_eq!(resolve(&site, "lab/app", "v1").as_ref(), Some(&source.app));
    assert_eq!(resolve(&site, "lab/two", "v1").as_ref(), Some(&source.two));
    let [amd64, arm64] = ["amd64", "arm64"].map(|it| source.content.for_platform(&source.app, it));
    Made::of(&site, "lab/app", &amd64).is_of(&source.content, &amd64);
    let answer = wire::get(site.address(), &format!("/v2/lab/app/manifests/{arm64}"));
    assert_eq!(answer.status, 404);
    assert_eq!(notes(&site, &file), [""; 0]);
    lacks_a_layer(&source, &file);
    let mut fetch = containerd.ctr();
    run(fetch.args(["content", "fetch", "--plain-http", "--all-platforms", &app]));
    let all = export(&["--all-platforms"], "all.tar", &[&app, &two]);
    source.is_kept(&all, &[("lab/app:v1", &source.app), ("lab/two:v1", &source.two)]);
}

/// Of two images the one that lacks a layer is not served, and named.
fn lacks_a_layer(source: &Source, file: &Path) {
    let manifest = source.content.parsed(&source.two).unwrap();
    let layer = manifest["layers"][1]["digest"].as_str().unwrap();
    let root = source.path("unpacked");
    fs::create_dir(&root).unwrap();
    run(Command::new("tar").arg("-C").arg(&root).arg("-xf").arg(file));
    fs::remove_file(root.join("blobs/sha256").join(&layer[7..])).unwrap();
    let file = source.path("lacking.tar");
    run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&file).arg("."));
    let site = serve(&[&file]);
    assert_eq!(resolve(&site, "lab/two", "v1"), None);
    assert!(tags(&site, "lab/two").is_empty());
    assert_eq!(resolve(&site, "lab/app", "v1").as_ref(), Some(&source.app));
    let inspected = inspect(&[&file]);
    assert!(inspected.contains(layer), "{inspected}");
}

#[test]
fn docker() {
    let Some(docker) = Docker::start(None) else { return };
    let Some(source) = Source::start() else { return };
    let [app, two] = ["app", "two"].map(|it| source.name(it));
    docker.docker(&["pull", "--quiet", &app]);
    docker.docker(&["pull", "--quiet", &two]);
    let file = source.path("docker.tar");
    docker.docker(&["save", "--output", file.to_str().unwrap(), &app, &two]);
    let images = [("lab/app:v1", &source.app), ("lab/two:v1", &source.two)];
    source.is_made(&file, &images);
    // RKE2 has bsdtar put the lists first.
    let root = source.path("unpacked");
    fs::create_dir(&root).unwrap();
    run(Command::new("tar").arg("-C").arg(&root).arg("-xf").arg(&file));
    let first = source.path("first.tar");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&root).arg("-cf").arg(&first).args(["manifest.json", "repositories"]);
    run(tar.args(["--exclude=./manifest.json", "--exclude=./repositories", "."]));
    source.is_made(&first, &images);
    let id = docker.docker(&["image", "inspect", "--format", "{{.Id}}", &two]);
    let nameless = source.path("nameless.tar");
    docker.docker(&["save", "--output", nameless.to_str().unwrap(), id.trim()]);
    let site = serve(&[&nameless]);
    let made = source.is_made(&file, &images)[1].digest.clone();
    Made::of(&site, "nameless", &made).is_of(&source.content, &source.two);
}
