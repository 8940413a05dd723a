//! The module graph of docs/architecture.md, enforced.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module, lowest first, and the modules it may import.
const LAYERS: &[(&str, &[&str])] = &[
    ("oci", &[]),
    ("imageset", &["oci"]),
    ("extent", &[]),
    ("verification", &["oci", "extent"]),
    ("source", &["oci", "extent", "verification"]),
    ("bundle", &["oci", "imageset", "extent"]),
    ("content", &["oci", "imageset", "extent", "verification", "source", "bundle"]),
    ("server", &["oci", "extent", "verification", "source", "content"]),
    ("client", &["oci", "source"]),
    ("state", &["oci", "imageset", "source", "client"]),
    ("plan", &["oci", "imageset", "source"]),
    ("copy", &["oci", "extent", "source"]),
    (
        "create",
        &["oci", "imageset", "extent", "source", "bundle", "content", "state", "plan", "copy"],
    ),
    (
        "cli",
        &[
            "oci",
            "imageset",
            "extent",
            "verification",
            "source",
            "bundle",
            "content",
            "server",
            "client",
            "state",
            "plan",
            "copy",
            "create",
        ],
    ),
];

#[test]
fn layers_are_listed_lowest_first() {
    let mut seen = BTreeSet::new();
    for (module, imports) in LAYERS {
        for import in *imports {
            assert!(seen.contains(import), "{module} imports {import}, which is not below it");
        }
        seen.insert(*module);
    }
}

#[test]
fn lib_lists_modules_in_the_same_order() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let listed: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let expected: Vec<&str> = LAYERS.iter().map(|(module, _)| *module).collect();
    assert_eq!(listed, expected);
}

#[test]
fn modules_import_only_what_their_layer_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    for file in rust_files(&src) {
        let path = file.strip_prefix(&src).unwrap();
        let module = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(module, "main" | "lib") {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            broken.push(format!("{}: module not in LAYERS", path.display()));
            continue;
        };
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            if import != module && !allowed.contains(&import.as_str()) {
                broken.push(format!("{}: {module} must not import {import}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn only_the_printer_prints() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rust_files(&src) {
        if !file.ends_with("cli/printer.rs") {
            let text = fs::read_to_string(&file).unwrap();
            let prints = ["io::stdout", "io::stderr", "print!(", "println!("];
            let found = prints.iter().find(|word| text.contains(*word));
            assert_eq!(found, None, "{}", file.display());
        }
    }
}

/// The modules named after `crate::`, comments apart.
fn imports(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .collect()
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
