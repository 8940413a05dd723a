//! Help, version, bad usage, colours, closed pipes: what every command has in common.

use std::process::Stdio;

use super::{check, layout, shipperd, stdout, text};

#[test]
fn version_goes_to_stdout() {
    let directory = tempfile::tempdir().unwrap();
    let version = concat!("shipperd ", env!("CARGO_PKG_VERSION"), "\n");
    check(shipperd(directory.path()).arg("--version"), 0, version, "");
}

#[test]
fn help_goes_to_stdout_and_names_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let help = stdout(shipperd(directory.path()).arg("--help"), 0);
    for command in ["serve", "create", "inspect", "verify", "extract", "trust"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
    }
}

#[test]
fn bad_usage_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    check(
        shipperd(directory.path()).args(["verify", "--sloow", "a"]),
        2,
        "",
        "error: unexpected argument '--sloow' found\n\n  \
         tip: to pass '--sloow' as a value, use '-- --sloow'\n\n\
         Usage: shipperd verify [OPTIONS] <PATH>...\n\n\
         For more information, try '--help'.\n",
    );
    let no_command = shipperd(directory.path()).output().unwrap();
    assert_eq!(no_command.status.code(), Some(2));
    assert!(no_command.stdout.is_empty());
    assert!(text(&no_command.stderr).contains("Usage: shipperd [OPTIONS] <COMMAND>"));
}

#[test]
fn a_bad_log_filter_is_named() {
    let directory = tempfile::tempdir().unwrap();
    check(
        shipperd(directory.path()).args(["verify", "a", "--log", "shipperd=loud"]),
        2,
        "",
        "error: cannot read the log filter \"shipperd=loud\"\n  \
         caused by: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \
         \"debug\", \"trace\", or a number 0-5\n",
    );
}

#[test]
fn colours_are_for_who_wants_them() {
    let directory = tempfile::tempdir().unwrap();
    let stderr = |arguments: &[&str], variable: Option<&str>| {
        let mut command = shipperd(directory.path());
        command.args(["verify", "absent"]).args(arguments);
        command.envs(variable.map(|variable| (variable, "1")));
        text(&command.output().unwrap().stderr)
    };
    assert!(stderr(&[], None).starts_with("error: "));
    assert!(stderr(&[], Some("NO_COLOR")).starts_with("error: "));
    assert!(stderr(&["--color", "always"], None).starts_with("\u{1b}[1m"));
    assert!(stderr(&["--color", "always"], Some("NO_COLOR")).starts_with("\u{1b}[1m"));
    assert!(stderr(&["--color", "never"], None).starts_with("error: "));
}

#[test]
fn quiet_leaves_the_data_and_the_errors() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("good"), &["quay.io/a/b:v1"], b"layer");
    check(
        shipperd(directory.path()).args(["verify", "--quiet", "good"]),
        0,
        "good: 3 blobs, 399 B: good\n",
        "",
    );
    let output = shipperd(directory.path()).args(["verify", "--quiet", "absent"]).output().unwrap();
    assert!(text(&output.stderr).starts_with("error: "));
}

#[test]
fn a_closed_stdout_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("good"), &["quay.io/a/b:v1"], b"layer");
    for arguments in [&["inspect", "good"][..], &["--help"], &["verify", "good", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = shipperd(directory.path());
        command.args(arguments).arg("--quiet").stdout(Stdio::from(writer));
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn a_stdout_that_cannot_be_written_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("good"), &["quay.io/a/b:v1"], b"layer");
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut command = shipperd(directory.path());
    command.args(["inspect", "good"]).stdout(full).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("error: cannot write to stdout\n  caused by: "));
}
