//! docs/performance.md: what each chart is about is written here, what it says is computed.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::panel::{Panel, panels};
use super::results::{Group, Run, newest};
use super::{chart, verdict};

/// The chart of the first section's first group alone, for README.md.
const SUMMARY: &str = "summary.svg";

const HEAD: &str = "\
# How fast

shipperd beside its peers, on one machine, one after the other in several rounds: \
nginx with sendfile, docker-registry (distribution 2.8, as Debian has it), distribution v3, skopeo.
Bars are medians, whiskers the smallest and the largest round; shipperd is blue.
Percentages are taken within each round; where the static program was measured, which is what ships, they are its.

`bench/run` measures all of it on your machine and draws this page again; \
[bench/README.md](../bench/README.md) tells how, what is fair, and which goals were reached and missed.
What grows with the number of blobs, bundles and clients is told by [the limits](guide/limits.md).
The page is made from bench/results by `UPDATE=1 cargo test --locked --test conformance performance`.
";

/// How the groups begin that docs/guide/limits.md tells of.
const ELSEWHERE: &str = "Scale";

/// One chart of the page.
struct Section {
    /// The file below docs/performance, without `.svg`.
    file: &'static str,
    title: &'static str,
    /// What was done: no figures, those are computed.
    about: &'static str,
    /// How the groups begin that it shows; a group goes to the first section that wants it.
    groups: &'static [&'static str],
    /// By whose CPU time that of the others is divided.
    over: Option<&'static str>,
}

const SECTIONS: &[Section] = &[
    Section {
        file: "opening",
        title: "From a file on the disk to images",
        about: "An archive has arrived and its images are pulled: shipperd opens it where it lies, \
                docker-registry has to be filled with it first.",
        groups: &["An archive", "A haul", "An OCI archive"],
        over: None,
    },
    Section {
        file: "starting",
        title: "Starting",
        about: "From the start of the program to its first answer, and the memory that it has then.\n\
                shipperd first reads every manifest and sees to it that nothing is missing; \
                distribution looks at nothing.",
        groups: &["Start"],
        over: None,
    },
    Section {
        file: "blobs",
        title: "Serving layers",
        about: "What the same bytes cost the server. nginx is the least that serving can cost: \
                it checks nothing and knows no names.",
        groups: &["Large blobs"],
        over: Some("nginx"),
    },
    Section {
        file: "manifests",
        title: "Serving manifests",
        about: "Small answers, which are most of what a cluster asks for.",
        groups: &["Manifests"],
        over: None,
    },
    Section {
        file: "storm",
        title: "Many nodes at once",
        about: "Many clients pull the same images at the same time, and manifests are asked for meanwhile.",
        groups: &["Storm"],
        over: None,
    },
    Section {
        file: "cold",
        title: "From a cold disk",
        about: "Nothing is in the page cache, as after a start of the machine: the disk counts, too.",
        groups: &["Cold"],
        over: None,
    },
    Section {
        file: "creating",
        title: "Making bundles",
        about: "The connected side, from a registry next door; skopeo copies the same images into an OCI layout.",
        groups: &["Create", "Sequence", "Dry run", "State"],
        over: None,
    },
    Section {
        file: "others",
        title: "Also measured",
        about: "What has no section of its own, as the first read of a blob, which is hashed while it is sent.",
        groups: &[""],
        over: None,
    },
];

/// The page, and its charts by file name.
pub fn write(runs: &[Run]) -> (String, BTreeMap<String, String>) {
    let mut groups = newest(runs);
    groups.retain(|group| !group.name.starts_with(ELSEWHERE));
    let mut page = HEAD.to_owned();
    let mut charts = BTreeMap::new();
    let mut used: Vec<&Run> = Vec::new();
    for Section { file, title, about, groups: starts, over } in SECTIONS {
        let place =
            |group: &Group<'_>| starts.iter().position(|start| group.name.starts_with(start));
        let mut own: Vec<_> = groups.extract_if(.., |group| place(group).is_some()).collect();
        if own.is_empty() {
            continue;
        }
        own.sort_by_key(place);
        if charts.is_empty() {
            charts.insert(SUMMARY.to_owned(), chart::draw(title, &stacks(&own[..1], *over)));
        }
        charts.insert(format!("{file}.svg"), chart::draw(title, &stacks(&own, *over)));
        let words = format!("{about}\n{}", verdict::of(&own));
        let words = words.trim_end();
        write!(page, "\n## {title}\n\n{words}\n\n![{title}](performance/{file}.svg)\n").unwrap();
        for Group { run, .. } in own {
            if !used.iter().any(|known| known.name == run.name) {
                used.push(run);
            }
        }
    }
    page.push_str(&sources(&used));
    (page, charts)
}

/// What stands beside each other: groups if they come in pairs, else the panels of each.
fn stacks(groups: &[Group<'_>], over: Option<&str>) -> Vec<Vec<Panel>> {
    let stacks = groups.iter().map(|group| panels(group, over));
    if groups.len().is_multiple_of(2) {
        stacks.collect()
    } else {
        stacks.flatten().map(|panel| vec![panel]).collect()
    }
}

/// Which runs the figures come from.
fn sources(used: &[&Run]) -> String {
    let mut text = String::from(
        "\n## Where it was measured\n\n\
         | figures | day | commit | processor | kernel | load before |\n|---|---|---|---|---|---|\n",
    );
    for run in used {
        let name = &run.name;
        let load = run.fact("load before").split(' ').next().unwrap_or_default();
        let facts =
            [run.date(), run.fact("commit"), run.fact("processor"), run.fact("kernel"), load];
        let facts = facts.join(" | ");
        writeln!(text, "| [{name}](../bench/results/{name}.md) | {facts} |").unwrap();
    }
    text
}
