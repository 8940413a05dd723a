//! Every command on every format.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{Keeps, Row};
use crate::damage::Server;
use crate::program::run;

/// Inspects, verifies, extracts and converts; what comes out answers as what went in.
pub(super) fn run_all(row: Row) {
    let reference = row.keeps.reference();
    let work = TempDir::new().unwrap();
    let Some(path) = row.make(&reference.content, work.path()) else { return };
    let text = shipperd(&["inspect"], &path);
    assert!(text.contains(&format!(": {}\n", row.says)), "{text}");
    let inside: Value = serde_json::from_str(&shipperd(&["inspect", "--json"], &path)).unwrap();
    let inside = &inside["bundles"][0];
    assert_eq!(inside["format"], row.says);
    for nothing in ["missing", "problems", "failed"] {
        assert_eq!(inside[nothing].as_array().map(Vec::len), Some(0), "{nothing}: {inside}");
    }
    let listed = inside["references"].as_array().unwrap().iter();
    let listed: BTreeSet<_> = listed
        .map(|it| (it["reference"].as_str().unwrap(), it["digest"].as_str().unwrap()))
        .collect();
    for (name, descriptor) in reference.content.references() {
        let name = match row.keeps {
            Keeps::Paths => name.split_once('/').unwrap().1,
            Keeps::Everything | Keeps::Registry | Keeps::Images => name,
        };
        assert!(listed.contains(&(name, &descriptor.digest)), "{name} is not in {listed:?}");
    }
    let verified: Value = serde_json::from_str(&shipperd(&["verify", "--json"], &path)).unwrap();
    assert_eq!(verified["good"], true);
    assert!(verified["bundles"][0]["blobs"].as_u64() > Some(3), "{verified}");
    let same = |path: &Path, what: &str, full: bool| {
        let server = Server::open(path);
        reference.answers.compare(server.address(), &format!("{} {what}", row.name), full);
    };
    let output = work.path().join("extracted");
    shipperd(&["extract", "--output", output.to_str().unwrap()], &path);
    same(&output, "extracted", row.keeps != Keeps::Paths);
    let output = work.path().join("out");
    let name = ["convert", "--name", "converted", "--output", output.to_str().unwrap()];
    shipperd(&name, &path);
    same(&output.join("converted-1.sqfs"), "converted", row.keeps != Keeps::Paths);
}

fn shipperd(arguments: &[&str], path: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    command.env("SHIPPERD_CONFIG", "/dev/null").arg("--quiet").args(arguments);
    run(command.arg(path))
}
