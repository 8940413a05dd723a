//! The record of instructions, held against what was counted now.
//!
//! It is a file of the project, so its history tells what each change of it cost or saved.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::mix::Count;
use crate::say;

const HEAD: &str = "\
# Instructions of shipperd itself, without the kernel's, counted by valgrind (bench/README.md).
# Made by `UPDATE=1 bench/smoke/run`; a commit that changes it says why.
";
/// Begins the line that says what a count depends on.
const TOOLS: &str = "# counted with ";

/// Holds counts against the record, or writes it anew; says whether none is far above it.
///
/// Counts that other tools were used for are told, not judged: a compiler changes them, too.
///
/// # Errors
///
/// When the record cannot be read or written.
pub(crate) fn judge(path: &Path, tools: &str, counted: &[Count], update: bool) -> Result<bool> {
    if update {
        fs::write(path, write(tools, counted)?)?;
    }
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read the record {}", path.display()))?;
    let (recorded_with, recorded) =
        parse(&text).with_context(|| format!("cannot read the record {}", path.display()))?;
    let compared = Compared::new(&recorded, counted);
    say(&compared.table()?);
    if recorded_with != tools {
        say(&format!(
            "not judged: recorded with {recorded_with}, counted with {tools};\n\
             `UPDATE=1 bench/smoke/run` before the next change makes both the same"
        ));
        return Ok(true);
    }
    for (words, verdict) in [
        (&compared.fewer, "takes far fewer instructions than recorded: well done, record it"),
        (&compared.more, "takes far more instructions than recorded"),
        (&compared.unknown, "is recorded or counted, but not both"),
    ] {
        for word in words {
            say(&format!("{word}: {verdict}"));
        }
    }
    let well = compared.more.is_empty() && compared.unknown.is_empty();
    if !well {
        say("if that is meant: `UPDATE=1 bench/smoke/run`, and commit the record with the reason");
    }
    Ok(well)
}

fn write(tools: &str, counted: &[Count]) -> Result<String> {
    let mut text = format!("{HEAD}{TOOLS}{tools}\n");
    for Count { words, instructions, .. } in counted {
        writeln!(text, "{instructions}\t{words}")?;
    }
    Ok(text)
}

/// What the record was counted with, and its counts by their words.
fn parse(text: &str) -> Result<(&str, BTreeMap<&str, u64>)> {
    let tools = text.lines().find_map(|line| line.strip_prefix(TOOLS));
    let mut counts = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (count, words) = line.split_once('\t').context("a line has no count")?;
        counts.insert(words, count.parse()?);
    }
    Ok((tools.context("it does not say what it was counted with")?, counts))
}

/// Each count beside its record.
#[derive(Default)]
struct Compared<'a> {
    rows: Vec<(&'a str, Option<u64>, Option<u64>)>,
    /// What is far above its record, far below it, and what lacks one of the two.
    more: Vec<&'a str>,
    fewer: Vec<&'a str>,
    unknown: Vec<&'a str>,
}

impl<'a> Compared<'a> {
    fn new(recorded: &BTreeMap<&'a str, u64>, counted: &'a [Count]) -> Self {
        let mut compared = Self::default();
        let mut gone = recorded.clone();
        for Count { words, instructions, bound } in counted {
            compared.add(words, gone.remove(words.as_str()), Some(*instructions), *bound);
        }
        for (words, before) in gone {
            compared.add(words, Some(before), None, 0.0);
        }
        compared
    }

    fn add(&mut self, words: &'a str, before: Option<u64>, now: Option<u64>, bound: f64) {
        self.rows.push((words, before, now));
        match change(before, now) {
            None => self.unknown.push(words),
            Some(change) if change > bound => self.more.push(words),
            Some(change) if change < -bound => self.fewer.push(words),
            Some(_) => {}
        }
    }

    fn table(&self) -> Result<String> {
        let mut text =
            String::from("| instructions | recorded | now | change |\n|---|--:|--:|--:|");
        let number = |count: Option<u64>| count.map(|it| it.to_string()).unwrap_or_default();
        for (words, before, now) in &self.rows {
            let change = change(*before, *now).map(|it| format!("{:+.1} %", it * 100.0));
            let change = change.unwrap_or_default();
            write!(text, "\n| {words} | {} | {} | {change} |", number(*before), number(*now))?;
        }
        Ok(text)
    }
}

/// By which part of the record a count is above it.
fn change(before: Option<u64>, now: Option<u64>) -> Option<f64> {
    Some(now? as f64 / before? as f64 - 1.0)
}
