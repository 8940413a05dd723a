//! The writer's promises, without the kernel.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use proptest::prelude::{Strategy, prop};
use proptest::{prop_assert_eq, proptest};
use shipperd::bundle::squashfs::writer::Error;
use shipperd::bundle::squashfs::{Completeness, Layout, Space, Writer, completeness, reader};
use shipperd::extent::Extent;

use super::{assert_tree, content, files, open, write};

#[test]
fn same_files_give_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(1000, &[1 << 20, 5 << 20]);
    let images = ["one", "two"].map(|name| {
        let image = directory.path().join(name);
        write(&image, &files);
        fs::read(image).unwrap()
    });
    assert!(images[0] == images[1]);
    let layout = Layout::plan(files).unwrap();
    assert_eq!(layout.image_size(), images[0].len() as u64);
    let offset = usize::try_from(layout.offset(1004).unwrap()).unwrap();
    assert!(images[0][offset..].starts_with(&content(1004, 0)[..5]));
}

#[test]
fn an_unfinished_image_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("bundle.sqfs");
    let partial = directory.path().join("bundle.sqfs.partial");
    let layout = Layout::plan(vec![("a".to_owned(), 5)]).unwrap();
    let create = || Writer::create(&image, layout.clone(), 0, Space::Reserve);

    let writer = create().unwrap();
    assert!(matches!(create(), Err(Error::Busy { .. })));
    writer.write_at(0, 0, b"hell").unwrap();
    let refused = writer.finish().unwrap_err();
    assert!(matches!(refused, Error::Incomplete { written: 4, size: 5, .. }), "{refused}");
    assert!(!image.exists());
    assert_eq!(completeness(&open(&partial)).unwrap(), Completeness::NotYet);
    reader::read(&open(&partial)).unwrap_err();

    drop(writer);
    let writer = create().unwrap();
    writer.write_at(0, 0, b"hello").unwrap();
    writer.finish().unwrap();
    assert!(!partial.exists());
    assert_eq!(completeness(&open(&image)).unwrap(), Completeness::Whole);
    let tree = reader::read(&open(&image)).unwrap();
    assert_eq!(tree.get("a").unwrap().open().unwrap().read_all(9).unwrap(), b"hello");
}

#[test]
fn a_file_is_written_within_its_bounds_only() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("bundle.sqfs");
    let layout = Layout::plan(vec![("a".to_owned(), 5), ("b".to_owned(), 3)]).unwrap();
    let writer = Writer::create(&image, layout, 0, Space::Reserve).unwrap();
    for (file, position, bytes) in
        [(0, 1, &b"hello"[..]), (0, 6, b""), (1, u64::MAX, b"x"), (1, 0, b"four"), (2, 0, b"")]
    {
        let refused = writer.write_at(file, position, bytes).unwrap_err();
        assert!(matches!(refused, Error::Outside { .. } | Error::NoFile { .. }), "{refused}");
    }
    let source = tempfile::tempfile().unwrap();
    source.write_all_at(b"xhello", 0).unwrap();
    let source = Extent::whole(Arc::new(source)).unwrap();
    assert!(writer.copy_from(0, &source).is_err());
    writer.copy_from(0, &source.slice(1, 5)).unwrap();
    writer.write_at(1, 1, b"bc").unwrap();
    writer.write_at(1, 0, b"a").unwrap();
    writer.finish().unwrap();
    let tree = reader::read(&open(&image)).unwrap();
    assert_eq!(tree.get("a").unwrap().open().unwrap().read_all(9).unwrap(), b"hello");
    assert_eq!(tree.get("b").unwrap().open().unwrap().read_all(9).unwrap(), b"abc");
}

#[test]
fn a_full_disk_is_an_early_error() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("bundle.sqfs");
    let layout = Layout::plan(vec![("a".to_owned(), 16 << 40)]).unwrap();
    match Writer::create(&image, layout, 0, Space::Reserve) {
        Err(Error::Full { needed, free, .. }) => assert!(needed > 16 << 40 && free < needed),
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left of it");
}

#[test]
fn a_copy_is_short_until_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("bundle.sqfs");
    write(&image, &files(100, &[]));
    let bytes = fs::read(&image).unwrap();
    let copy = directory.path().join("copy");
    for (length, expected) in [(0, "NotYet"), (95, "NotYet"), (96, "Short"), (40_000, "Short")] {
        fs::write(&copy, &bytes[..length]).unwrap();
        let found = format!("{:?}", completeness(&open(&copy)).unwrap());
        assert!(found.starts_with(expected), "{found}");
        reader::read(&open(&copy)).unwrap_err();
    }
    fs::write(&copy, &bytes).unwrap();
    assert_eq!(completeness(&open(&copy)).unwrap(), Completeness::Whole);
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn any_paths_come_back(paths in prop::collection::vec(path(), 0..40)) {
        let mut files = Vec::new();
        for (n, path) in paths.into_iter().enumerate() {
            files.push((path, n as u64 * 997));
            if Layout::plan(files.clone()).is_err() {
                files.pop();
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("bundle.sqfs");
        write(&image, &files);
        let tree = reader::read(&open(&image)).unwrap();
        assert_tree(&tree, &files);
        let layout = Layout::plan(files).unwrap();
        prop_assert_eq!(image.metadata().unwrap().len(), layout.image_size());
    }
}

/// Paths with few different names, so that many share directories.
fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof_names();
    prop::collection::vec(name, 1..5).prop_map(|names| names.join("/"))
}

fn prop_oneof_names() -> impl Strategy<Value = String> {
    proptest::prop_oneof!["[ab]", "[a-c]{1,3}", "\\PC{1,20}", "[é世 .]{1,80}"]
}
