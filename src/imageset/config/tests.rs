//! Whole files: what is read, what is refused and in which words.

use super::*;

const V2: &str = "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v2alpha1\n";
const V1: &str = "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v1alpha2\n";

fn parse(head: &str, body: &str) -> Result<Config, String> {
    Config::parse(&format!("{head}{body}")).map_err(|error| error.to_string())
}

/// Whether the file is refused, in these words.
#[track_caller]
fn refused(head: &str, body: &str, expected: &str) {
    let error = parse(head, body).map(|_| ()).unwrap_err();
    assert_eq!(error, expected, "{body}");
}

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
fn other_documents() {
    for (text, expected) in [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("- a\n", "line 1, column 1: not an ImageSetConfiguration: not a mapping"),
        (
            "mirror: {}\n",
            "2 problems:\n\
             line 1, column 1: kind: `kind` is missing: it must be ImageSetConfiguration\n\
             line 1, column 1: apiVersion: `apiVersion` is missing: it must be \
             mirror.openshift.io/v2alpha1 or mirror.openshift.io/v1alpha2",
        ),
        (
            "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v1alpha1\n",
            "line 2, column 13: apiVersion: v1alpha1 is not read, by oc-mirror neither: move the \
             file to mirror.openshift.io/v2alpha1 or mirror.openshift.io/v1alpha2",
        ),
        (
            "kind: Pod\napiVersion: v1\n",
            "2 problems:\n\
             line 1, column 7: kind: \"Pod\" is not read: it must be ImageSetConfiguration\n\
             line 2, column 13: apiVersion: \"v1\" is not read: it must be \
             mirror.openshift.io/v2alpha1 or mirror.openshift.io/v1alpha2",
        ),
        (
            "apiVersion: mirror.openshift.io/v2alpha1\nkind: DeleteImageSetConfiguration\n",
            "line 2, column 7: kind: this lists images to delete from a registry; shipperd \
             deletes nothing: a bundle is taken back by removing its file",
        ),
    ] {
        refused("", text, expected);
    }
}

#[test]
fn fields_that_are_not_known() {
    for (head, body, expected) in [
        (
            V2,
            "mirror:\n  additionalImage:\n    - name: a:1\n",
            "line 4, column 3: mirror.additionalImage: unknown field; did you mean \
             `additionalImages`?",
        ),
        (
            V2,
            "mirror:\n  AdditionalImages: []\n",
            "line 4, column 3: mirror.AdditionalImages: unknown field; did you mean \
             `additionalImages`?",
        ),
        (V2, "mirror: {}\nqqq: 1\n", "line 4, column 1: qqq: unknown field"),
        (
            V2,
            "mirror: {}\nstorageConfig: {local: {path: x}}\n",
            "line 4, column 1: storageConfig: v1alpha2 has this field, v2alpha1 does not",
        ),
        (
            V1,
            "mirror:\n  additionalImages:\n    - name: a:1\n      targetRepo: b\n",
            "line 6, column 7: mirror.additionalImages[0].targetRepo: v2alpha1 has this field, \
             v1alpha2 does not",
        ),
        (V2, "", "line 1, column 1: `mirror` is missing"),
        (V2, "mirror:\n", "line 1, column 1: `mirror` is missing"),
        (
            V2,
            "mirror:\n  blockedImages:\n    - nam: x\n",
            "2 problems:\n\
             line 5, column 7: mirror.blockedImages[0].nam: unknown field; did you mean `name`?\n\
             line 5, column 7: mirror.blockedImages[0]: `name` is missing",
        ),
    ] {
        refused(head, body, expected);
    }
}

#[test]
fn values_of_another_kind() {
    let path = "mirror.platform";
    for (body, at, message) in [
        ("graph: maybe", "line 5, column 12", ".graph: \"maybe\" is neither true nor false"),
        ("graph: 'true'", "line 5, column 12", ".graph: this must be true or false, and is a word"),
        ("channels: {}", "line 5, column 15", ".channels: this must be a list, and is a mapping"),
        (
            "channels: [a]",
            "line 5, column 16",
            ".channels[0]: this must be a mapping, and is a word",
        ),
        (
            "channels: [~]",
            "line 5, column 16",
            ".channels[0]: this must be a mapping, and is nothing",
        ),
        (
            "channels: [{name: [a]}]",
            "line 5, column 23",
            ".channels[0].name: this must be a word, and is a list",
        ),
        (
            "channels: [{name: a, type: rhel}]",
            "line 5, column 32",
            ".channels[0].type: \"rhel\" is not one of ocp, okd",
        ),
        (
            "architectures: [x86]",
            "line 5, column 21",
            ".architectures[0]: \"x86\" is not one of amd64, arm64, ppc64le, s390x, multi",
        ),
    ] {
        let body = format!("mirror:\n  platform:\n    {body}\n");
        refused(V2, &body, &format!("{at}: {path}{message}"));
    }
    for size in ["-1", "1.5", "4G", "8388608"] {
        let expected = format!(
            "line 3, column 14: archiveSize: \"{size}\" is not a whole number from 0 to 8388607"
        );
        refused(V2, &format!("archiveSize: {size}\nmirror: {{}}\n"), &expected);
    }
}

#[test]
fn all_of_it_is_told_at_once() {
    refused(
        V2,
        "archiveSize: x
mirror:
  additionalImages:
    - name: quay.io/ns/app
    - name: http://quay.io/ns/app:1
    - name: quay.io/NS/app:1
    - nmae: quay.io/ns/app:2
  blockedImages:
    - name: '*debug'
shipperd:
  name: a/b
",
        "8 problems:
line 3, column 14: archiveSize: \"x\" is not a whole number from 0 to 8388607
line 6, column 13: mirror.additionalImages[0].name: \"quay.io/ns/app\" has neither a tag nor a digest
line 7, column 13: mirror.additionalImages[1].name: images cannot be read by the transport \"http\": write a reference, or oci:// and the path of a layout
line 8, column 13: mirror.additionalImages[2].name: not a repository name: \"NS/app\"
line 9, column 7: mirror.additionalImages[3].nmae: unknown field; did you mean `name`?
line 9, column 7: mirror.additionalImages[3]: `name` is missing
line 11, column 13: mirror.blockedImages[0].name: \"*debug\" is not a regular expression: repetition operator missing expression; `.*` matches anything
line 13, column 9: shipperd.name: \"a/b\" cannot name an imageset: use at most 128 letters, digits, `.`, `_` and `-`, the first a letter or digit",
    );
}

#[test]
fn rules() {
    let catalog = "quay.io/ns/index:v1";
    let operator = |rest: &str| format!("operators: [{{catalog: '{catalog}', {rest}}}]");
    for (head, body, expected) in [
        (
            V2,
            "platform: {channels: [{name: a}, {name: a}]}".to_owned(),
            "mirror.platform.channels[1]: the channel \"a\" is here twice",
        ),
        (
            V2,
            "platform: {architectures: [amd64], platforms: [{os: linux, architecture: amd64}]}"
                .into(),
            "mirror.platform.platforms: not together with `architectures`: list one of the two",
        ),
        (
            V2,
            "platform: {channels: [{name: a, minVersion: 4.19.0, maxVersion: 4.18.0}]}".into(),
            "mirror.platform.channels[0].maxVersion: 4.18.0 is lower than minVersion, which is 4.19.0",
        ),
        (
            V2,
            "platform: {release: 'quay.io/A:1'}".into(),
            "mirror.platform.release: not a repository name: \"A\"",
        ),
        (
            V2,
            format!("operators: [{{catalog: '{catalog}'}}, {{catalog: '{catalog}', full: true}}]"),
            "mirror.operators[1]: the catalog quay.io/ns/index:v1 is here twice",
        ),
        (
            V2,
            operator("packages: [{name: a}, {name: a}]"),
            "mirror.operators[0].packages[1]: the package \"a\" is here twice",
        ),
        (
            V1,
            operator("packages: [{name: a, channels: [{name: b}, {name: b}]}]"),
            "mirror.operators[0].packages[0].channels[1]: the channel \"b\" is here twice",
        ),
        (
            V2,
            operator("packages: [{name: a, minVersion: latest}]"),
            "mirror.operators[0].packages[0].minVersion: \"latest\" is not a semantic version, \
             such as 4.18.1",
        ),
        (
            V2,
            operator(
                "packages: [{name: a, minVersion: 1.0.0, channels: [{name: b, maxVersion: 2.0.0}]}]",
            ),
            "mirror.operators[0].packages[0].channels[0]: bounds of versions stand at the package \
             or at its channels, not both",
        ),
        (
            V2,
            operator("full: true, packages: [{name: a, minVersion: 1.0.0}]"),
            "mirror.operators[0].packages[0]: `full: true` carries all versions; bounds cannot be \
             given with it",
        ),
        (
            V1,
            operator("packages: [{name: a, minVersion: 1.0.0, minBundle: a.v1}]"),
            "mirror.operators[0].packages[0].minBundle: not together with `minVersion`",
        ),
        (
            V1,
            operator("packages: [{name: a, defaultChannel: b, channels: [{name: c}]}]"),
            "mirror.operators[0].packages[0].defaultChannel: the channel \"b\" is not listed in \
             `channels`",
        ),
        (
            V2,
            operator("targetCatalog: 'a:b'"),
            "mirror.operators[0].targetCatalog: not a repository name: \"a:b\"",
        ),
        (
            V2,
            "additionalImages: [{name: 'quay.io/a/x:1', targetRepo: c}, {name: 'quay.io/b/x:1', \
             targetRepo: c}]"
                .into(),
            "mirror.additionalImages[1]: another image is carried as quay.io/c:1, too",
        ),
        (
            V2,
            "additionalImages: [{name: 'a:1', targetTag: -x}]".into(),
            "mirror.additionalImages[0].targetTag: not a tag: \"-x\"",
        ),
        (
            V2,
            "additionalImages: [{name: 'a:1', platforms: [{os: a, architecture: b}, {os: a, \
             architecture: b}]}]"
                .into(),
            "mirror.additionalImages[0].platforms[1]: this platform is here twice",
        ),
        (
            V2,
            "blockedImages: [{name: 'a(b'}]".into(),
            "mirror.blockedImages[0].name: \"a(b\" is not a regular expression: unclosed group",
        ),
        (
            V2,
            "blockedImages: [{name: '(a{1000}){1000}'}]".into(),
            "mirror.blockedImages[0].name: \"(a{1000}){1000}\" is not a regular expression: it is \
             too large",
        ),
        (V2, "helm: {local: [{name: a}]}".into(), "mirror.helm.local[0]: `path` is missing"),
        (
            V2,
            "helm: {repositories: [{name: a, url: 'ftp://x'}]}".into(),
            "mirror.helm.repositories[0].url: \"ftp://x\" does not begin with http://, https:// or \
             oci://",
        ),
    ] {
        let error = parse(head, &format!("mirror:\n  {body}\n")).map(|_| ()).unwrap_err();
        let (place, message) = error.split_once(": ").unwrap();
        assert_eq!(message, expected, "{body}");
        assert!(place.starts_with("line 4, column "), "{error}");
    }
    let both = "storageConfig: {local: {path: a}, registry: {imageURL: b}}\nmirror: {}\n";
    let expected = "line 3, column 16: storageConfig: `local` or `registry`, not both";
    refused(V1, both, expected);
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

#[test]
fn limits() {
    let laughs: String =
        (1..9).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{}, ", n - 1).repeat(9))).collect();
    let chain: String = (1..40).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
    for (text, expected) in [
        (" ".repeat((1 << 20) + 1), "more than 1048576 are not read"),
        (format!("a0: &a0 [x]\n{laughs}"), "more than 100000 values"),
        (format!("a0: &a0 [x]\n{chain}"), "more than 32 deep"),
        ("[".repeat(1000), "not YAML"),
        ("- ".repeat(1000), "not YAML"),
        ("a: &a [*a]\n".to_owned(), "this alias is part of what it names"),
        ("a: *b\n".to_owned(), "not YAML"),
        ("a: 1\nb: 2\na: 3\n".to_owned(), "\"a\" is here twice, first at line 1, column 1"),
        ("a: 1\n---\nb: 2\n".to_owned(), "second document"),
        ("a: !thing 1\n".to_owned(), "the tag \"!thing\" is not known"),
        ("? [a]\n: 1\n".to_owned(), "a key must be a word"),
        ("<<: 1\n".to_owned(), "`<<` needs a mapping"),
        ("a: \"\n".to_owned(), "not YAML"),
        ((0..1001).map(|n| format!("k{n}: 1\n")).collect(), "more than 1000 keys"),
    ] {
        let error = Config::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} for {text:.40}");
    }
}

#[test]
fn many_problems_are_not_all_told() {
    let body: String = (0..500).map(|n| format!("x{n}: 1\n")).collect();
    let error = Config::parse(&format!("{V2}mirror: {{}}\n{body}")).unwrap_err();
    assert_eq!(error.problems().len(), 100);
    assert!(error.to_string().starts_with("100 problems at least:\n"), "{error}");
}

#[test]
fn what_the_file_says_cannot_take_over_the_terminal() {
    let key = format!("\"\\e[31m{}\"", "x".repeat(1000));
    let error = Config::parse(&format!("{V2}mirror: {{}}\n{key}: 1\n")).unwrap_err().to_string();
    assert!(error.contains("\\u{1b}[31mxxx") && error.contains("…: unknown field"), "{error}");
    assert!(!error.contains(char::is_control) && error.len() < 500, "{error}");
}
