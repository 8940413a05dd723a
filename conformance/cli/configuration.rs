//! Where a flag's value comes from: command line, environment, configuration file, default.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{check, layout, shipperd, stdout};

/// The program with this configuration file.
fn configured(directory: &Path, text: &str) -> Command {
    let file = directory.join("config.toml");
    fs::write(&file, text).unwrap();
    let mut command = shipperd(directory);
    command.env("SHIPPERD_CONFIG", "config.toml");
    command
}

#[test]
fn the_file_comes_after_the_environment_and_that_after_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("good"), &["quay.io/a/b:v1"], b"layer");
    let is_json = |command: &mut Command| {
        stdout(command.args(["--quiet", "verify", "good"]), 0).starts_with('{')
    };
    assert!(!is_json(&mut configured(directory.path(), "")));
    assert!(is_json(&mut configured(directory.path(), "json = true")));
    let environment = || {
        let mut command = configured(directory.path(), "json = true");
        command.env("SHIPPERD_JSON", "no");
        command
    };
    assert!(!is_json(&mut environment()));
    assert!(is_json(environment().arg("--json")));
}

#[test]
fn a_users_file_is_found() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("good"), &["quay.io/a/b:v1"], b"layer");
    fs::create_dir_all(directory.path().join(".config/shipperd")).unwrap();
    fs::write(directory.path().join(".config/shipperd/config.toml"), "json = true").unwrap();
    let mut command = shipperd(directory.path());
    command.env_remove("SHIPPERD_CONFIG").env("HOME", directory.path());
    assert!(stdout(command.args(["verify", "--quiet", "good"]), 0).starts_with('{'));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let directory = tempfile::tempdir().unwrap();
    check(
        configured(directory.path(), "[extract]\noutptu = \"x\"").args(["extract", "a"]),
        2,
        "",
        "error: unknown key of [extract] \"outptu\" in the configuration file \"config.toml\"\n\n\
         hint: the nearest known word is `output`\n",
    );
}

#[test]
fn an_unfit_value_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    check(
        configured(directory.path(), "color = \"pink\"").args(["verify", "a"]),
        2,
        "",
        "error: unfit value of \"color\" in the configuration file \"config.toml\": \
         invalid value 'pink' for '--color <WHEN>'\n",
    );
}

#[test]
fn a_broken_or_absent_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    check(
        configured(directory.path(), "color = ").args(["verify", "a"]),
        2,
        "",
        "error: cannot read the configuration file \"config.toml\" as TOML\n  \
         caused by: TOML parse error at line 1, column 9\n      \
         |\n    \
         1 | color = \n      \
         |         ^\n    \
         string values must be quoted, expected literal string\n",
    );
    check(
        shipperd(directory.path()).env("SHIPPERD_CONFIG", "absent.toml").args(["verify", "a"]),
        2,
        "",
        "error: cannot read the configuration file \"absent.toml\"\n  \
         caused by: No such file or directory (os error 2)\n\n\
         hint: check the path; a relative one starts at the working directory\n",
    );
}
