//! Commands that make something of a file that cannot be served in place, ready to be pasted.

use std::path::Path;

use super::format::Compression;

/// The command that unwraps a file and leaves it there.
pub(super) fn unwrap(compression: Compression, path: &Path) -> String {
    let (endings, tool) = match compression {
        Compression::Gzip => ([".gz", ".tgz"], "gunzip"),
        Compression::Xz => ([".xz", ".txz"], "unxz"),
        Compression::Bzip2 => ([".bz2", ".tbz2"], "bunzip2"),
    };
    // They would take the file away.
    unwrap_with(tool, " -k", &endings, path)
}

/// The command that unwraps a zstd file, however far its matches reach.
pub(super) fn unzstd(is_long: bool, path: &Path) -> String {
    let tool = if is_long { "unzstd --long=31" } else { "unzstd" };
    unwrap_with(tool, "", &[".zst", ".tzst"], path)
}

/// The command that makes a bundle of a file.
pub(super) fn convert(path: &Path) -> String {
    format!("shipperd convert {} -o DIR", quoted(path))
}

/// The tools go by the ending; where they do not know it, the shell names both files.
fn unwrap_with(tool: &str, keep: &str, endings: &[&str], path: &Path) -> String {
    let name = path.to_string_lossy();
    if endings.iter().any(|ending| name.ends_with(ending)) {
        return format!("{tool}{keep} {}", quoted(path));
    }
    let unwrapped = format!("{name}.tar");
    format!("{tool} < {} > {}", quoted(path), quoted(unwrapped.as_ref()))
}

/// A path as one word of a shell.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    // A dash at the beginning would be an option.
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        return text.into_owned();
    }
    let inside = text.replace('\'', r"'\''");
    if text.starts_with('-') { format!("'./{inside}'") } else { format!("'{inside}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let gunzip = |path: &str| unwrap(Compression::Gzip, path.as_ref());
        assert_eq!(gunzip("/media/usb/a.tar.gz"), "gunzip -k /media/usb/a.tar.gz");
        assert_eq!(gunzip("a b.tgz"), "gunzip -k 'a b.tgz'");
        assert_eq!(gunzip("it's"), r"gunzip < 'it'\''s' > 'it'\''s.tar'");
        assert_eq!(gunzip("-f.gz"), "gunzip -k './-f.gz'");
        assert_eq!(unzstd(true, "a.tar.zst".as_ref()), "unzstd --long=31 a.tar.zst");
        assert_eq!(unwrap(Compression::Xz, "$(x)".as_ref()), "unxz < '$(x)' > '$(x).tar'");
        assert_eq!(convert("a.tar.zst".as_ref()), "shipperd convert a.tar.zst -o DIR");
    }
}
