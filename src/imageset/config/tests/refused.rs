//! Files that are refused, and in which words.

use super::{V1, V2, parse, refused};

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
