//! Every parser of what lies in files has a fuzz target, in conformance/fuzz.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The modules below `bundle` that read what others wrote, and the target that reaches each.
const PARSERS: &[(&str, &str)] = &[
    ("archive", "bundle"),
    ("docker", "docker"),
    ("edition", "record"),
    ("format", "bundle"),
    ("hauler", "layout"),
    ("image_mirror", "foreign"),
    ("imgpkg", "imgpkg"),
    ("index", "layout"),
    ("layout", "layout"),
    ("layouts", "foreign"),
    ("loose", "foreign"),
    ("mirror", "storage"),
    ("mirror_v1", "mirror_v1"),
    ("skopeo", "foreign"),
    ("squashfs", "squashfs"),
    ("storage", "storage"),
    ("stranger", "bundle"),
    ("talos", "foreign"),
    ("zstd", "zstd"),
];

/// Those that read nothing of what is in a file.
const OTHERS: &[&str] = &[
    "advice",
    "directory",
    "error",
    "glance",
    "meaning",
    "mod",
    "parts",
    "pieces",
    "tree",
    "volume",
];

#[test]
fn every_parser_of_bundles_has_a_target() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = fs::read_dir(project.join("src/bundle")).unwrap();
    let modules: BTreeSet<String> = modules
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let listed = PARSERS.iter().map(|(module, _)| *module).chain(OTHERS.iter().copied());
    let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
    assert_eq!(modules, listed, "a module is not listed, or not there");
    let targets = fs::read_to_string(project.join("conformance/fuzz/Cargo.toml")).unwrap();
    for (module, target) in PARSERS {
        let path = format!("targets/{target}.rs");
        assert!(targets.contains(&format!("path = \"{path}\"")), "{module}: no target {target}");
        assert!(project.join("conformance/fuzz").join(path).is_file(), "{module}: {target}");
    }
}
