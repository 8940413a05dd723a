//! From the configuration to the client: sequences and parts that the program makes, served by
//! the program from where it wrote them, pulled by skopeo.

use std::fs;
use std::process::Command;

use super::Yard;
use super::bundle::tool;
use crate::fixtures::image::{Image, image};
use crate::fixtures::layer::noise;
use crate::fixtures::{Content, Descriptor};
use crate::site::{Site, Transport};
use crate::spec::wire;

const MIB: usize = 1 << 20;

fn app(content: &mut Content, tag: &str, seeds: &[u64]) -> Descriptor {
    let layers = seeds.iter().map(|seed| noise(*seed, MIB));
    let image = layers.fold(image("amd64"), Image::plain_layer).add(content);
    content.tag(&format!("quay.io/lab/app:{tag}"), &image);
    image
}

/// Makes the next sequence of what the layout holds, for one platform only.
async fn next(yard: &Yard, content: &Content, options: &[&str]) {
    let layout = yard.path().join("layout");
    fs::remove_dir_all(&layout).ok();
    content.write_layout(&layout);
    let configuration = format!(
        "kind: ImageSetConfiguration\n\
         apiVersion: mirror.openshift.io/v2alpha1\n\
         shipperd: {{name: fleet}}\n\
         mirror:\n  additionalImages:\n  - name: oci://{}\n    \
         platforms: [{{os: linux, architecture: amd64}}]\n",
        layout.display()
    );
    fs::write(yard.path().join("isc.yaml"), configuration).unwrap();
    let mut create = yard.shipperd(&["create", "-q", "-o", "out", "-c", "isc.yaml"]);
    let output = create.args(options).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Pulls a tag with skopeo and answers whether its manifest is what is expected.
fn is_pulled(site: &Site, path: &str, expected: &str) -> Option<bool> {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["--insecure-policy", "--override-arch", "amd64", "copy", "--quiet"]);
    skopeo.arg("--src-tls-verify=false").arg(format!("docker://{}/{path}", site.address()));
    tool(skopeo.arg(format!("dir:{}", copy.display())))?;
    Some(crate::fixtures::digest(&fs::read(copy.join("manifest.json")).unwrap()) == expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_carried_in_sequences_and_parts_is_pulled_as_one() {
    let yard = Yard::new();
    let mut content = Content::default();
    let first = app(&mut content, "v1", &[1, 2, 3]);
    let moving = app(&mut content, "v2", &[1, 4]);
    let children: Vec<_> = ["amd64", "s390x"]
        .iter()
        .zip(10..)
        .map(|(it, seed)| image(it).plain_layer(noise(seed, 1000)).add(&mut content))
        .collect();
    let index = content.index(&children);
    content.tag("quay.io/lab/multi:v1", &index);
    next(&yard, &content, &["--archive-size", "3MiB"]).await;

    // A new image of old and new layers, a tag that moves, and one that goes.
    let mut later = Content::default();
    let second = app(&mut later, "v3", &[2, 5]);
    app(&mut later, "v2", &[1, 2, 3]);
    later.tag("quay.io/lab/app:same", &first);
    next(&yard, &later, &[]).await;
    let mut names = yard.left();
    names.sort();
    assert_eq!(names, ["fleet-1.1-of-2.sqfs", "fleet-1.2-of-2.sqfs", "fleet-2.sqfs"]);
    let size = fs::metadata(yard.path().join("out/fleet-2.sqfs")).unwrap().len();
    assert!(size < 1_200_000, "one new layer: {size}");

    let site = Site::serve(&[&yard.path().join("out")], Transport::Http);
    for (path, expected) in [
        ("lab/app:v1", &first),
        ("lab/app:v2", &first),
        ("lab/app:v3", &second),
        ("lab/app:same", &first),
        ("lab/multi:v1", &children[0]),
        ("quay.io/lab/app:v3", &second),
    ] {
        let Some(is_pulled) = is_pulled(&site, path, &expected.digest) else { return };
        assert!(is_pulled, "{path}");
    }
    // By digest the earlier edition is there still; the platform that was left out is not.
    let by_digest = format!("lab/app@{}", moving.digest);
    assert_eq!(is_pulled(&site, &by_digest, &moving.digest), Some(true));
    let left_out = format!("/v2/lab/multi/manifests/{}", children[1].digest);
    let answer = wire::get(site.address(), &left_out);
    assert_eq!(answer.status, 404);
    let message = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("left out"), "{message}");

    let mut inspect = yard.shipperd(&["inspect", "out"]);
    let output = inspect.stdout(std::process::Stdio::piped()).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    super::say(&text);
    fs::remove_file(yard.path().join("out/fleet-1.2-of-2.sqfs")).unwrap();
    let mut inspect = yard.shipperd(&["inspect", "out"]);
    let output = inspect.stdout(std::process::Stdio::piped()).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("fleet-1.2-of-2.sqfs"), "it says what to bring: {text}");
    super::say(&text);
}
