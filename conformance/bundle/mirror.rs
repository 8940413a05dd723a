//! Archives of oc-mirror v2: under the names that oc-mirror gives, in one file or in many.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::storage::inspect;
use super::{Members, members, notes, pack, resolve, serve, small, tags};
use crate::fixtures::real::real;
use crate::fixtures::{Content, digest};
use crate::site::Site;
use crate::spec::wire;

const CATALOG: &str = "redhat/lab-operator-index";
/// The catalog as it was filtered, and the tag that it has in the archive.
const FILTERED: &str = "sha256:32ee4f40a15ecd3c798a150fa9a6f25b5804a4399b7bfd4ca839629e2a8be1d3";
const FILTER: &str = "0b958e8a59b828228699cfb9f7edb0b6";

/// The digests of the source images by their names in the fixtures.
pub(super) fn digests(file: &str) -> Option<Value> {
    let text = fs::read_to_string(real(&format!("oc-mirror/expected/{file}.json"))?).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// Fetches a manifest and all that it needs; every byte is right.
#[track_caller]
pub(super) fn walk(site: &Site, repository: &str, target: &str) -> String {
    let path = format!("/v2/{repository}/manifests/{target}");
    let answer = wire::get(site.address(), &path);
    assert_eq!(answer.status, 200, "{path}");
    let manifest = answer.json();
    let listed = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
    for child in listed("manifests") {
        let digest = child["digest"].as_str().unwrap();
        assert_eq!(walk(site, repository, digest), digest);
    }
    let config = manifest.get("config").cloned();
    for blob in listed("layers").into_iter().chain(config) {
        let expected = blob["digest"].as_str().unwrap();
        let answer = wire::get(site.address(), &format!("/v2/{repository}/blobs/{expected}"));
        assert_eq!((answer.status, digest(&answer.body)), (200, expected.to_owned()), "{path}");
    }
    digest(&answer.body)
}

/// The members of a real archive.
fn unpack(archive: &Path) -> Members {
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    });
    entries.collect()
}

/// What the full archive is to answer.
fn full(small: &Value) -> Vec<(&'static str, String, &str)> {
    let digest = |name: &str| small[name].as_str().unwrap();
    vec![
        ("team/app1", "v1".to_owned(), digest("app1")),
        ("team/app2", "v1".to_owned(), digest("app2")),
        ("team/app3", digest("app3").replace(':', "-"), digest("app3")),
        ("team/single", "v1".to_owned(), digest("single")),
        ("deep/er/path/app3", "v1".to_owned(), digest("app3")),
        ("renamed/app-four", "stable".to_owned(), digest("app4")),
    ]
}

#[test]
fn a_full_archive_and_a_differential_one_on_top() {
    let (Some(first), Some(second)) =
        (real("oc-mirror/v2/full/mirror_000001.tar"), real("oc-mirror/v2/diff/mirror_000001.tar"))
    else {
        return;
    };
    let (small, new) = (digests("small-digests").unwrap(), digests("v2-digests").unwrap());
    let added = [("team/app1", &new["app1-v2"]), ("team/app5", &new["app5-v2"])];
    let site = serve(&[&first]);
    for (repository, tag, digest) in full(&small) {
        assert_eq!(walk(&site, repository, &tag), digest, "{repository}:{tag}");
        assert!(tags(&site, repository).contains(&tag), "{repository}:{tag}");
    }
    assert_eq!(notes(&site, &first), [""; 0]);
    // The names at the source, of what was given another one, too.
    let app4 = resolve(&site, "team/app4", "v1?ns=127.0.0.1:5701");
    assert_eq!(app4.as_deref(), small["app4"].as_str());
    let app2 = resolve(&site, "team/app2", "v1?ns=127.0.0.1:5701");
    assert_eq!(app2.as_deref(), small["app2"].as_str());

    // It names all that was ever carried, and holds little of it.
    let site = serve(&[&second]);
    for (repository, tag, _) in full(&small) {
        assert_eq!(resolve(&site, repository, &tag), None, "{repository}:{tag}");
        assert!(tags(&site, repository).is_empty(), "{repository}");
    }
    for (repository, _) in added {
        assert_eq!(resolve(&site, repository, "v2"), None, "{repository}: lacks a layer");
    }
    let said = notes(&site, &second).join("\n");
    for word in ["it is incomplete", "needed by ", "in the archive of 2026-11-21T06:45:59Z"] {
        assert!(said.contains(word), "{said}");
    }

    let inspected = inspect(&[&second]);
    let app3 = small["app3"].as_str().unwrap();
    for line in [
        "mirror_000001.tar: oc-mirror v2 archive (tar)\n".to_owned(),
        format!("  missing    {app3}, needed by deep/er/path/app3:v1, "),
        ", in the archive of 2026-11-21T06:45:59Z\n".to_owned(),
    ] {
        assert!(inspected.contains(&line), "{line} in {inspected}");
    }

    for order in [[&first, &second], [&second, &first]] {
        let site = serve(&order.map(PathBuf::as_path));
        for (repository, tag, digest) in full(&small) {
            assert_eq!(walk(&site, repository, &tag), digest, "{repository}:{tag}");
        }
        for (repository, digest) in added {
            assert_eq!(walk(&site, repository, "v2"), digest.as_str().unwrap(), "{repository}");
        }
        assert_eq!(notes(&site, &first), [""; 0]);
        assert_eq!(notes(&site, &second), [""; 0]);
    }
}

/// What the archive of a release is to answer, as the cluster resources that oc-mirror made for it
/// ask for it.
fn check_release(site: &Site, what: &str) {
    let release = digests("release-digests").unwrap();
    let small = digests("small-digests").unwrap();
    let digest = |from: &Value, name: &str| from[name].as_str().unwrap().to_owned();
    let bundle = digest(&release["bundles"], "foo-v1.1.0");
    for (repository, tag, expected) in [
        ("openshift/release-images", "4.99.0-x86_64", digest(&release, "release")),
        ("openshift/release", "4.99.0-x86_64-cli", digest(&small, "app1")),
        ("openshift/release", "4.99.0-x86_64-etcd", digest(&small, "app3")),
        ("openshift/release", "4.99.0-x86_64-installer", digest(&small, "app4")),
        ("ops/foo-bundle", &bundle.replace(':', "-"), bundle.clone()),
        ("team/app2", "v1", digest(&small, "app2")),
        (CATALOG, "v4.99", FILTERED.to_owned()),
        (CATALOG, FILTER, FILTERED.to_owned()),
    ] {
        assert_eq!(walk(site, repository, tag), expected, "{what}: {repository}:{tag}");
    }
    let at_source = resolve(site, CATALOG, "v4.99?ns=127.0.0.1:5701");
    assert_eq!(at_source.as_deref(), Some(FILTERED), "{what}");
}

#[test]
fn a_release_and_a_filtered_catalog() {
    let Some(archive) = real("oc-mirror/v2-release/mirror_000001.tar") else { return };
    let site = serve(&[&archive]);
    check_release(&site, "one file");
    assert_eq!(notes(&site, &archive), [""; 0]);
    // What the resources name for nodes is asked for by digest.
    let idms = real("oc-mirror/expected/v2-release/idms-oc-mirror.yaml").unwrap();
    let idms = fs::read_to_string(idms).unwrap();
    let mirrors = idms.lines().filter_map(|line| line.trim().strip_prefix("- 127.0.0.1:5705/"));
    let mut asked = 0;
    for mirror in mirrors {
        let release = digests("release-digests").unwrap();
        let digest = release["release"].as_str().unwrap();
        assert_eq!(resolve(&site, mirror, digest).as_deref(), Some(digest), "{mirror}");
        asked += 1;
    }
    assert!(asked > 3, "{asked}");
}

#[test]
fn the_files_of_a_split_archive_complete_each_other() {
    let Some(archive) = real("oc-mirror/v2-release/mirror_000001.tar") else { return };
    let members = unpack(&archive);
    let last = members.iter().rposition(|(name, _)| name.starts_with("docker/")).unwrap() + 1;
    let names = members.iter().filter(|(name, _)| name.contains("/repositories/")).count();
    let middle = (names + last) / 2;
    let work = tempfile::tempdir().unwrap();
    let files = [1, 2, 3].map(|number| work.path().join(format!("mirror_00000{number}.tar")));
    let [one, two, three] = &files;
    let parts = [&members[..middle], &members[middle..last], &members[last..]];
    for (file, part) in files.iter().zip(parts) {
        pack(file, part);
    }
    for order in [[one, two, three], [three, two, one], [two, three, one]] {
        let site = serve(&order.map(PathBuf::as_path));
        check_release(&site, &format!("{order:?}"));
        for file in &files {
            assert_eq!(notes(&site, file), [""; 0], "{}", file.display());
        }
    }
    let lacking = serve(&[one, three]);
    assert!(notes(&lacking, one).join("\n").contains("it is incomplete"));
    let unfinished = serve(&[one, two]);
    assert!(notes(&unfinished, one).join("\n").contains("is unfinished"));
    assert_eq!(resolve(&unfinished, CATALOG, FILTER).as_deref(), Some(FILTERED), "all is there");
    let nameless = serve(&[two, three]);
    assert!(notes(&nameless, two).join("\n").contains("the first file of its archive"));
}

#[test]
fn an_archive_that_oc_mirror_did_not_finish_is_served_and_said_to_be_so() {
    let Some(archive) = real("oc-mirror/v2/full/mirror_000001.tar") else { return };
    let members = unpack(&archive);
    let blobs = members.iter().rposition(|(name, _)| name.starts_with("docker/")).unwrap() + 1;
    let small = digests("small-digests").unwrap();
    let work = tempfile::tempdir().unwrap();
    // Before the last file, before all files of oc-mirror's own, in the middle of the blobs.
    for (cut, expected) in [(members.len() - 1, 6), (blobs, 6), (blobs - 12, 0)] {
        let file = work.path().join("mirror_000001.tar");
        pack(&file, &members[..cut]);
        let site = serve(&[&file]);
        let all = full(&small);
        let served = all.iter().filter(|(repository, tag, digest)| {
            resolve(&site, repository, tag).is_some_and(|found| found == *digest)
        });
        let served = served.count();
        assert!(if expected > 0 { served == expected } else { served < 6 }, "{cut}: {served}");
        let said = notes(&site, &file).join("\n");
        assert!(said.contains("its archive is unfinished"), "{cut}: {said}");
        assert_eq!(said.contains("it is incomplete"), served < 6, "{cut}: {said}");
    }
}

/// An archive of this content, made at this time, with further files.
fn made(path: &Path, content: &Content, time: &str, further: &[(&str, &str)]) {
    let root = tempfile::tempdir().unwrap();
    let mut members = members(content, root.path());
    let further = further.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    members.extend(further);
    let config =
        "apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\nmirror: {}\n";
    members.push((format!("isc_{time}"), config.as_bytes().to_vec()));
    pack(path, &members);
}

#[test]
fn of_several_archives_the_newest_says_what_a_tag_means() {
    let work = tempfile::tempdir().unwrap();
    let times = ["2026-01-02T00:00:00Z", "2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z"];
    let mut files = Vec::new();
    let mut digests = Vec::new();
    for time in times {
        let mut content = Content::default();
        digests.push(small(&mut content, "quay.io/lab/app:v1", time.as_bytes()));
        small(&mut content, &format!("quay.io/lab/app:{}", &time[..7]), time.as_bytes());
        files.push(work.path().join(format!("{}-mirror_000001.tar", files.len())));
        made(files.last().unwrap(), &content, time, &[]);
    }
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let site = serve(&order.map(|at: usize| files[at].as_path()));
        assert_eq!(resolve(&site, "lab/app", "v1").as_ref(), Some(&digests[1]), "{order:?}");
        assert_eq!(tags(&site, "lab/app").len(), 4, "what only older ones have stays");
    }
    let site = serve(&[work.path()]);
    assert_eq!(resolve(&site, "lab/app", "v1").as_ref(), Some(&digests[1]));
}

#[test]
fn a_catalog_is_answered_as_it_was_filtered_this_time() {
    let mut content = Content::default();
    let original = small(&mut content, "quay.io/red/index:v4.18", b"all of it");
    let mut names = Vec::new();
    let mut files = Vec::new();
    let hex = original.strip_prefix("sha256:").unwrap();
    for filter in ["aaaa", "bbbb", "cccc"] {
        let filtered =
            small(&mut content, &format!("quay.io/red/index:{filter}"), filter.as_bytes());
        files.push((
            format!("working-dir/operator-catalogs/index/{hex}/filtered-catalogs/{filter}/digest"),
            filtered.strip_prefix("sha256:").unwrap().to_owned(),
        ));
        names.push(filtered);
    }
    let config = format!(
        "apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\nmirror:\n  \
         operators:\n  - catalog: registry.example/red/index@{original}\n    targetTag: v4.18\n"
    );
    files.push(("working-dir/isc_pinned_2026-01-02T00:00:00Z.yaml".to_owned(), config));
    // An older one does not count.
    let older = "working-dir/isc_pinned_2026-01-01T00:00:00Z.yaml".to_owned();
    files.push((older, "not even read".to_owned()));
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("mirror_000001.tar");
    let further: Vec<_> = files.iter().map(|(name, it)| (name.as_str(), it.as_str())).collect();
    made(&file, &content, "2026-01-02T00:00:00Z", &further);
    // Of what earlier runs made, an archive has the names and not the blobs.
    let layers = [&names[0], &names[2]].map(|it| it.strip_prefix("sha256:").unwrap());
    let members = unpack(&file).into_iter();
    let gone = |name: &str| layers.iter().any(|hex| name.contains(&format!("/{hex}/data")));
    let members: Members = members.filter(|(name, _)| !gone(name)).collect();
    pack(&file, &members);
    let site = serve(&[&file]);
    let answers = ["v4.18", "v4.18?ns=registry.example"];
    for tag in answers {
        assert_eq!(resolve(&site, "red/index", tag).as_ref(), Some(&names[1]), "{tag}");
    }
    let path = "registry.example/red/index";
    assert_eq!(resolve(&site, path, "v4.18").as_ref(), Some(&names[1]));
    assert_eq!(resolve(&site, "red/index", &original).as_ref(), Some(&original), "by digest");
}

/// What is in a case, the files that are added, and whether something is to be said.
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, bool);

#[test]
fn what_oc_mirror_keeps_beside_is_not_believed() {
    let mut content = Content::default();
    let app = small(&mut content, "quay.io/lab/app:v1", b"app");
    let hidden = digest(b"hidden");
    let hex = hidden.strip_prefix("sha256:").unwrap();
    let deep = format!("working-dir/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    let catalog =
        format!("working-dir/operator-catalogs/x/{}/filtered-catalogs/y/digest", &app[7..]);
    let pinned = "working-dir/isc_pinned_2026-01-02T00:00:00Z.yaml";
    let config = format!(
        "apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\nmirror:\n  \
         operators:\n  - catalog: registry.example/lab/app@{app}\n    targetTag: v1\n  \
         additionalImages:\n  - name: registry.example/none:v1\n"
    );
    let (long, deep_yaml) = ("x".repeat(5 << 20), "[".repeat(100_000));
    let cases: [Case<'_>; 7] = [
        ("a storage tree within", vec![(&deep, "hidden")], false),
        ("no digest", vec![(&catalog, "sha256:../../.."), (pinned, &config)], false),
        ("a digest that is too long", vec![(&catalog, &long), (pinned, &config)], false),
        ("no configuration", vec![(pinned, "kind: [")], true),
        ("a long configuration", vec![(pinned, &long)], true),
        ("a deep configuration", vec![(pinned, &deep_yaml)], true),
        (
            "a history of nonsense",
            vec![("working-dir/.history/.history-2026-01-01T00:00:00Z", "\u{1}")],
            false,
        ),
    ];
    let work = tempfile::tempdir().unwrap();
    for (what, further, said) in cases {
        let file = work.path().join("mirror_000001.tar");
        made(&file, &content, "2026-01-02T00:00:00Z", &further);
        let site = serve(&[&file]);
        assert_eq!(resolve(&site, "lab/app", "v1").as_ref(), Some(&app), "{what}");
        let target = format!("/v2/lab/app/blobs/{hidden}");
        assert_eq!(wire::get(site.address(), &target).status, 404, "{what}");
        assert_eq!(!notes(&site, &file).is_empty(), said, "{what}: {:?}", notes(&site, &file));
    }
}
