//! docs/performance.md and its charts say what the result files of bench/run say.
//!
//! Each group of figures comes from the newest file in bench/results that has it: by the day in its
//! name, within a day by the time that it says it was begun. So a run of some parts replaces those.
//! After a run: `UPDATE=1 cargo test --locked --test conformance performance`; bench/run does so.

mod chart;
mod page;
mod panel;
mod results;
mod verdict;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn the_page_is_what_the_result_files_give() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (page, charts) = page::write(&results::load(&root.join("bench/results")));
    let directory = root.join("docs/performance");
    let path = root.join("docs/performance.md");
    if std::env::var_os("UPDATE").is_some() {
        if directory.exists() {
            fs::remove_dir_all(&directory).unwrap();
        }
        fs::create_dir_all(&directory).unwrap();
        fs::write(&path, &page).unwrap();
        for (name, chart) in &charts {
            fs::write(directory.join(name), chart).unwrap();
        }
    }
    let hint = "is not what bench/results gives: run this with UPDATE=1";
    assert!(fs::read_to_string(&path).unwrap() == page, "docs/performance.md {hint}");
    for (name, chart) in &charts {
        let drawn = fs::read_to_string(directory.join(name)).unwrap_or_default();
        assert!(drawn == *chart, "docs/performance/{name} {hint}");
    }
    let there: BTreeSet<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, charts.keys().cloned().collect(), "docs/performance {hint}");
}
