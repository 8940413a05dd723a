//! All formats at once, in one directory, beside bundles of ours.

use tempfile::TempDir;

use super::{Keeps, ROWS};
use crate::bundle::serve;
use crate::spec::wire;

#[test]
fn all_formats_together_are_one_registry() {
    let work = TempDir::new().unwrap();
    for row in ROWS {
        row.make(&row.keeps.reference().content, work.path());
    }
    let site = serve(&[work.path()]);
    let report = wire::get(site.address(), "/readyz").json();
    let bundles = report["bundles"].as_array().unwrap();
    assert!(bundles.len() > 15 && bundles.iter().all(|it| it["state"] == "live"), "{report}");
    for keeps in [Keeps::Everything, Keeps::Images] {
        keeps.reference().answers.compare(site.address(), "all together", true);
    }
}
