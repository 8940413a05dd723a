//! A directory as a container of files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tree::{self, Stored, Tree};

/// How deep directories may be nested: every format we know needs fewer than ten.
const MAX_DEPTH: usize = 32;

/// Reads which files are below `root`, without reading them.
///
/// A symbolic link counts as the file it points to when that is below `root`, too;
/// what is no file, or points out, is left out and reported.
///
/// # Errors
///
/// When a directory cannot be read, or there is more than a container may hold.
pub fn read(root: &Path) -> io::Result<(Tree, Vec<tree::Omission>)> {
    let real_root = root.canonicalize()?;
    let mut walk = Walk { real_root, tree: Tree::default(), omissions: Vec::new() };
    walk.enter(root, "", 0)?;
    Ok((walk.tree, walk.omissions))
}

struct Walk {
    real_root: PathBuf,
    tree: Tree,
    omissions: Vec<tree::Omission>,
}

impl Walk {
    fn enter(&mut self, directory: &Path, prefix: &str, depth: usize) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let shown = format!("{prefix}{}", name.to_string_lossy());
            let Some(name) = name.to_str() else {
                self.omit(shown, "its name is not UTF-8");
                continue;
            };
            if self.tree.len() >= tree::MAX_FILES {
                return Err(io::Error::other(format!("more than {} files", tree::MAX_FILES)));
            }
            let path = entry.path();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if depth >= MAX_DEPTH {
                    self.omit(shown, "it is nested too deep");
                } else {
                    self.enter(&path, &format!("{prefix}{name}/"), depth + 1)?;
                }
            } else if kind.is_file() {
                let length = entry.metadata()?.len();
                self.tree.insert(&shown, Stored::Path(Arc::new(path), length));
            } else if kind.is_symlink() {
                self.link(&path, shown);
            } else {
                self.omit(shown, "it is not a regular file");
            }
        }
        Ok(())
    }

    fn link(&mut self, path: &Path, shown: String) {
        match path.canonicalize() {
            Ok(target) if !target.starts_with(&self.real_root) => {
                self.omit(shown, "it is a symbolic link that points out");
            }
            Ok(target) => match fs::metadata(&target) {
                Ok(found) if found.is_file() => {
                    self.tree.insert(&shown, Stored::Path(Arc::new(target), found.len()));
                }
                _ => self.omit(shown, "it is a symbolic link to no regular file"),
            },
            Err(_) => self.omit(shown, "it is a symbolic link that leads nowhere"),
        }
    }

    fn omit(&mut self, path: String, reason: &'static str) {
        self.omissions.push(tree::Omission { path, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), b"123").unwrap();
        fs::write(directory.path().join("secret"), b"secret").unwrap();
        std::os::unix::fs::symlink("../../secret", root.join("a/out")).unwrap();
        std::os::unix::fs::symlink("b/file", root.join("a/in")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("a/gone")).unwrap();
        std::os::unix::fs::symlink(".", root.join("a/cycle")).unwrap();
        let (tree, mut omissions) = read(&root).unwrap();
        let files: Vec<_> = tree.below("").map(|(path, it)| (path, it.length())).collect();
        assert_eq!(files, [("a/b/file", 3), ("a/in", 3)]);
        omissions.sort_by(|a, b| a.path.cmp(&b.path));
        let paths: Vec<_> = omissions.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["a/cycle", "a/gone", "a/out"]);
    }
}
