//! Which files of a directory are the parts of one.
//!
//! ```text
//! NAME.001 NAME.002 …              hauler; a shard of a set with parity begins with a header
//! NAME_0.tar.zst NAME_1.tar.zst …  hauler before 2.1
//! NAME.part000 NAME.part001 …      zarf; the first is {"sha256Sum": hex, "bytes": n, "count": n}
//! ```
//!
//! The first part stands for all of them. Names alone do not make parts: what begins like a file of
//! its own is one.
//! <https://github.com/hauler-dev/hauler/tree/main/pkg/archives>,
//! <https://github.com/zarf-dev/zarf/blob/main/src/pkg/packager/layout/package.go>

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{self, Container};
use crate::extent::{Content, Extent};

/// What a file is in its directory, by the names and the beginnings of the others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Role {
    /// A file of its own, or the first part of one and the parts that follow.
    First(Vec<PathBuf>),
    /// A part of the file whose first part, or the first one that is here, is this.
    Later(PathBuf),
    /// A part without this one, which is the first.
    Orphan(PathBuf),
}

/// How parts are named.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Scheme {
    Hauler,
    OldHauler,
    Zarf,
}

/// What the parts of a file have in common: scheme, and what comes before and after the number.
pub(super) type Key<'a> = (Scheme, &'a str, &'a str);

/// The files of a directory that are parts.
#[derive(Debug)]
pub struct Sets {
    directory: PathBuf,
    sets: BTreeMap<(Scheme, String, String), BTreeMap<u32, String>>,
}

impl Sets {
    /// Sorts the files of a directory by their names, but for those that are no parts.
    pub fn of(directory: &Path, files: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut sets = BTreeMap::<_, BTreeMap<_, _>>::new();
        for path in files {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if let Some(((scheme, stem, ending), number)) = parse(name) {
                let key = (scheme, stem.to_owned(), ending.to_owned());
                sets.entry(key).or_default().insert(number, name.to_owned());
            }
        }
        for ((scheme, ..), set) in &mut sets {
            let first = set.get(&scheme.first()).map(|name| directory.join(name));
            set.retain(|number, name| {
                *number == scheme.first()
                    || !is_whole(*scheme, first.as_deref(), &directory.join(name))
            });
        }
        Self { directory: directory.to_owned(), sets }
    }

    /// What one of the files is.
    #[must_use]
    pub fn role(&self, path: &Path) -> Role {
        let alone = Role::First(Vec::new());
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(((scheme, stem, ending), number)) = parse(name) else { return alone };
        let key = (scheme, stem.to_owned(), ending.to_owned());
        let Some(set) = self.sets.get(&key).filter(|set| set.contains_key(&number)) else {
            return alone;
        };
        let place = |name: &String| self.directory.join(name);
        match set.first_key_value() {
            Some((lowest, name)) if *lowest != number => Role::Later(place(name)),
            _ if number == scheme.first() => Role::First(set.values().skip(1).map(place).collect()),
            // A number at the end of any name is no part of an archive.
            _ if scheme == Scheme::Hauler && !is_archive(stem) => alone,
            _ => Role::Orphan(place(&scheme.name(stem, ending, scheme.first()))),
        }
    }
}

fn is_archive(name: &str) -> bool {
    [".tar", ".zst"].iter().any(|ending| name.ends_with(ending))
}

/// Whether a file that has the name of a part, not of the first one, is a file of its own.
fn is_whole(scheme: Scheme, first: Option<&Path>, path: &Path) -> bool {
    if scheme == Scheme::Zarf {
        return false;
    }
    let open = |path: &Path| {
        // Opening a pipe would wait for somebody to write to it.
        let is_file = fs::metadata(path).ok()?.is_file();
        is_file.then(|| Extent::whole(Arc::new(File::open(path).ok()?)).ok())?
    };
    let Some(content) = open(path).map(Content::Extent) else { return false };
    match format::sniff(&content) {
        Ok(Container::Squashfs | Container::Zstd | Container::Compressed(_)) => true,
        // A cut may fall before a header; then what was cut does not end before it.
        Ok(Container::Tar) => match (scheme, first) {
            (_, None) => true,
            (Scheme::OldHauler, Some(first)) => open(first).is_some_and(|it| is_ended(&it)),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a file ends as a tar archive does.
fn is_ended(extent: &Extent) -> bool {
    let mut tail = [0; 1024];
    let at = extent.length().checked_sub(1024);
    at.is_some_and(|at| extent.read_at(&mut tail, at).is_ok() && tail.iter().all(|it| *it == 0))
}

/// What a file is in its directory.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn role(path: &Path) -> io::Result<Role> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some((key, _)) = name.and_then(parse) else { return Ok(Role::First(Vec::new())) };
    let directory = path.parent().unwrap_or(Path::new(""));
    let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let mut files = Vec::new();
    for entry in fs::read_dir(listed)? {
        let name = entry?.file_name();
        let of_it = name.to_str().and_then(parse).is_some_and(|(it, _)| it == key);
        if of_it {
            files.push(directory.join(name));
        }
    }
    Ok(Sets::of(directory, files).role(path))
}

/// The name of the whole of which a file of this name may be a part.
pub(super) fn whole(name: &str) -> String {
    parse(name).map_or_else(|| name.to_owned(), |((_, stem, ending), _)| format!("{stem}{ending}"))
}

impl Scheme {
    /// The number of the first part.
    pub(super) fn first(self) -> u32 {
        match self {
            Self::Hauler => 1,
            Self::OldHauler | Self::Zarf => 0,
        }
    }

    /// The name of a part.
    pub(super) fn name(self, stem: &str, ending: &str, number: u32) -> String {
        match self {
            Self::Hauler => format!("{stem}.{number:03}"),
            Self::OldHauler => format!("{stem}_{number}{ending}"),
            Self::Zarf => format!("{stem}.part{number:03}"),
        }
    }
}

/// What the name of a part says.
pub(super) fn parse(name: &str) -> Option<(Key<'_>, u32)> {
    let (stem, last) = name.rsplit_once('.')?;
    let padded = |digits: &str| {
        let number: u32 = digits.parse().ok()?;
        // One name for each number.
        (format!("{number:03}") == digits).then_some(number)
    };
    if let Some(number) = last.strip_prefix("part").and_then(padded) {
        return (!stem.is_empty()).then_some(((Scheme::Zarf, stem, ""), number));
    }
    if let Some(number) = padded(last) {
        let is_part = number > 0 && !stem.is_empty();
        return is_part.then_some(((Scheme::Hauler, stem, ""), number));
    }
    let (base, ending) = name.split_at(name.find('.')?);
    let (stem, digits) = base.rsplit_once('_')?;
    let number: u32 = digits.parse().ok()?;
    let known = matches!(ending, ".tar" | ".tar.zst");
    let is_part = known && !stem.is_empty() && number.to_string() == digits;
    is_part.then_some(((Scheme::OldHauler, stem, ending), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files: a name, and how it begins.
    fn roles(files: &[(&str, &[u8])]) -> Vec<Role> {
        let directory = tempfile::tempdir().unwrap();
        let paths: Vec<_> = files.iter().map(|(name, _)| directory.path().join(name)).collect();
        for (path, (_, bytes)) in paths.iter().zip(files) {
            fs::write(path, bytes).unwrap();
        }
        let relative = |path: PathBuf| path.file_name().unwrap().into();
        let found = paths.iter().map(|path| match role(path).unwrap() {
            Role::First(others) => Role::First(others.into_iter().map(relative).collect()),
            Role::Later(first) => Role::Later(relative(first)),
            Role::Orphan(first) => Role::Orphan(relative(first)),
        });
        found.collect()
    }

    fn first(others: &[&str]) -> Role {
        Role::First(others.iter().map(PathBuf::from).collect())
    }

    #[test]
    fn the_first_part_stands_for_all() {
        let later = |name: &str| Role::Later(name.into());
        let found = roles(&[
            ("haul.tar.zst.001", b"x"),
            ("haul.tar.zst.002", b"x"),
            ("haul.tar.zst.10000", b"x"),
            ("haul.tar.zst", b"x"),
            ("pkg.part000", b"{"),
            ("pkg.part001", b"hsqs"),
            ("old_0.tar.zst", b"x"),
            ("old_1.tar.zst", b"x"),
        ]);
        let hauler = "haul.tar.zst.001";
        assert_eq!(
            found[..3],
            [first(&["haul.tar.zst.002", "haul.tar.zst.10000"]), later(hauler), later(hauler),]
        );
        assert_eq!(found[3..6], [first(&[]), first(&["pkg.part001"]), later("pkg.part000")]);
        assert_eq!(found[6..], [first(&["old_1.tar.zst"]), later("old_0.tar.zst")]);
    }

    #[test]
    fn without_the_first_the_lowest_misses_it() {
        let found = roles(&[("a.tar.004", b"x"), ("a.tar.003", b"x"), ("pkg.part007", b"x")]);
        assert_eq!(
            found,
            [
                Role::Later("a.tar.003".into()),
                Role::Orphan("a.tar.001".into()),
                Role::Orphan("pkg.part000".into()),
            ]
        );
    }

    #[test]
    fn what_begins_like_a_file_of_its_own_is_one() {
        let zstd = [0x28, 0xb5, 0x2f, 0xfd];
        for files in [
            [("ocp.001", &b"hsqs"[..]), ("ocp.002", &b"hsqs"[..])],
            [("images_0.tar.zst", &zstd), ("images_1.tar.zst", &zstd)],
            [("app-1.0.124", &b"hsqs"[..]), ("notes.2024", b"text")],
            [("mirror_000001.tar", b"x"), ("mirror_000002.tar", b"x")],
            [("a.part1", b"x"), ("a.part2", b"x")],
            [("a.0001", b"x"), ("a.+01", b"x")],
            [(".001", b"x"), (".002", b"x")],
            [("v_0.1.tar.zst", b"x"), ("v_1.1.tar.zst", b"x")],
        ] {
            assert_eq!(roles(&files), [first(&[]), first(&[])], "{files:?}");
        }
    }

    #[test]
    fn parts_have_the_name_of_the_whole() {
        for (name, expected) in [
            ("haul.tar.zst.001", "haul.tar.zst"),
            ("haul_0.tar.zst", "haul.tar.zst"),
            ("pkg.tar.zst.part000", "pkg.tar.zst"),
            ("demo-1.sqfs", "demo-1.sqfs"),
        ] {
            assert_eq!(whole(name), expected);
        }
    }
}
