//! Whole files: what is read, what is refused and in which words.

mod accepted;
mod limits;
mod refused;

use super::Config;

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
