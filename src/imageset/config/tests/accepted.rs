//! Files that are read, and what of them.

use super::super::{ApiVersion, Mirror, Storage, release};
use super::{V1, V2, parse};

#[test]
fn everything_about_images() {
    let digest = "a".repeat(64);
    let body = format!(
        "archiveSize: 4
mirror:
  additionalImages:
    - name: quay.io/ns/app:v1
    - name: localhost:5000/a/b:v1@sha256:{digest}
      targetRepo: other/name
      targetTag: stable
      platforms: [{{os: linux, architecture: amd64}}, {{os: linux, architecture: arm, variant: v7}}]
    - name: localhost:5000/a/b@sha256:{digest}
    - name: oci:///srv/layouts/app
  blockedImages:
    - name: quay\\.io/.*/debug
shipperd:
  name: apps
  referrers: false
"
    );
    let config = parse(V2, &body).unwrap();
    assert_eq!(config.api, ApiVersion::V2Alpha1);
    assert_eq!(config.archive_size, Some(4 << 30));
    assert_eq!(config.storage, None);
    assert_eq!(config.shipperd.name.unwrap().as_str(), "apps");
    assert!(!config.shipperd.referrers);
    let images = &config.mirror.additional_images;
    let names: Vec<String> = images.iter().map(|image| image.name.to_string()).collect();
    assert_eq!(
        names,
        [
            "quay.io/ns/app:v1".to_owned(),
            format!("localhost:5000/a/b:v1@sha256:{digest}"),
            format!("localhost:5000/a/b@sha256:{digest}"),
            "oci:///srv/layouts/app".to_owned(),
        ]
    );
    let target = images[1].target().unwrap();
    assert_eq!(target.to_string(), format!("localhost:5000/other/name:stable@sha256:{digest}"));
    assert_eq!(images[1].platforms[1].variant.as_deref(), Some("v7"));
    assert_eq!(images[3].target(), None);
    for (reference, blocked) in [
        ("quay.io/ns/debug:v1", true),
        ("quay.io/ns/debug-tools/x:v1", true),
        ("quay.io/debug:v1", false),
        ("quayxio.example/ns/debug:v1", false),
    ] {
        let found = config.mirror.blocked_by(&reference.parse().unwrap());
        assert_eq!(found.is_some(), blocked, "{reference}");
    }
}

#[test]
fn files_of_version_1_are_read_as_they_are() {
    let body = "archiveSize: 0
storageConfig:
  registry:
    imageURL: registry.example:5000/state
    skipTLS: yes
mirror:
  platform:
    graph: true
    architectures: [amd64, s390x]
    channels:
      - {name: stable-4.18, minVersion: 4.18.1, maxVersion: 4.18.9, shortestPath: true}
      - {name: okd, type: okd, full: true}
  operators:
    - catalog: registry.redhat.io/redhat/redhat-operator-index:v4.18
      targetName: index
      originalRef: ignored
      packages:
        - name: foo
          minBundle: foo.v1
          defaultChannel: stable
          channels:
            - {name: stable, minVersion: 1.10}
        - {name: bar, minVersion: '1.0', channels: [{name: a, minVersion: 1.2.0}]}
    - {catalog: 'oci:///srv/index', targetCatalog: own/index, full: true}
  additionalImages:
    - name: quay.io/ns/app
  helm:
    repositories:
      - {name: charts, url: https://charts.example/, charts: [{name: app, version: 1.0}]}
    local: [{name: own, path: /srv/own, imagePaths: ['{.spec.image}']}]
  samples: []
";
    let config = parse(V1, body).unwrap();
    let image = "registry.example:5000/state:latest".parse().unwrap();
    assert_eq!(config.storage, Some(Storage::Registry { image, skip_tls: true }));
    assert_eq!(config.archive_size, None);
    assert!(config.shipperd.referrers);
    let unsupported = ["mirror.platform", "mirror.operators", "mirror.helm"];
    assert_eq!(config.unsupported(), unsupported);
    let Mirror { platform, operators, additional_images, helm, .. } = config.mirror;
    assert_eq!(additional_images[0].name.to_string(), "quay.io/ns/app:latest");
    let platform = platform.unwrap();
    assert_eq!(platform.channels[1].distribution, release::Distribution::Okd);
    assert_eq!(platform.architectures[1], release::Architecture::S390x);
    let target = operators[0].target_repository.as_ref().unwrap();
    assert_eq!(target.as_str(), "redhat/index");
    let range = &operators[0].packages[0].channels[0].range;
    assert_eq!(range.min.as_ref().unwrap().to_string(), "1.10.0");
    assert_eq!(helm.unwrap().repositories[0].charts[0].version.as_deref(), Some("1.0"));
}

#[test]
fn state_in_a_directory_or_nowhere() {
    let storage = |body: &str| parse(V1, &format!("{body}mirror: {{samples: [{{name: x}}]}}\n"));
    let config = storage("storageConfig: {local: {path: /var/state}}\n").unwrap();
    assert_eq!(config.storage, Some(Storage::Local { path: "/var/state".into() }));
    assert_eq!(config.unsupported(), ["mirror.samples"]);
    assert_eq!(storage("storageConfig: {}\n").unwrap().storage, None);
    assert_eq!(storage("").unwrap().storage, None);
}

#[test]
fn what_asks_for_nothing_is_not_unsupported() {
    let body = "mirror: {platform: {}, helm: {}, operators: [], additionalImages: }\n";
    assert_eq!(parse(V2, body).unwrap().unsupported(), [""; 0]);
}

#[test]
fn aliases_and_merge_keys() {
    let body = "mirror:
  additionalImages:
    - &one {name: 'a:1', platforms: &p [{os: linux, architecture: amd64}]}
    - {<<: *one, name: 'b:1'}
    - {name: 'c:1', platforms: *p}
";
    let images = parse(V2, body).unwrap().mirror.additional_images;
    assert!(images.iter().all(|image| image.platforms == images[0].platforms));
    let names: Vec<_> = images.iter().map(|image| image.name.to_string()).collect();
    let expected = ["a:1", "b:1", "c:1"].map(|it| format!("docker.io/library/{it}"));
    assert_eq!(names, expected);
}
