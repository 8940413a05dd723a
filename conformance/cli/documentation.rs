//! docs/cli.md says what the program says.
//!
//! After a change of the arguments: `UPDATE=1 cargo test --test conformance documentation`.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::{shipperd, stdout};

#[test]
fn the_documentation_of_the_commands_is_what_the_program_prints() {
    let directory = tempfile::tempdir().unwrap();
    let help = |arguments: &[&str]| stdout(shipperd(directory.path()).args(arguments), 0);
    let overview = help(&["--help"]);
    let mut text = String::from(
        "# Commands\n\n\
         What `shipperd --help` and the help of every command print.\n\
         This file is made from that: `UPDATE=1 cargo test --test conformance documentation`.\n",
    );
    let mut section = |title: &str, help: &str| {
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(text, "\n## {title}\n\n```text\n{}\n```\n", lines.join("\n")).unwrap();
    };
    section("shipperd", &overview);
    // The common options are in the overview.
    let own = |help: &str| help.split("\nCommon options:").next().unwrap().trim_end().to_owned();
    for command in commands(&overview) {
        let text = help(&[command, "--help"]);
        section(&format!("shipperd {command}"), &own(&text));
        for action in commands(&text) {
            let text = help(&[command, action, "--help"]);
            section(&format!("shipperd {command} {action}"), &own(&text));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written == text, "docs/cli.md is not what the program prints: run this with UPDATE=1");
}

/// The names of the commands, but for `help`.
fn commands(overview: &str) -> impl Iterator<Item = &str> {
    let lines = overview.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help")
}
