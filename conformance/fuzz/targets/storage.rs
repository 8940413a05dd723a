//! A tar archive whose members are the lines of the input: a path, a space, what the file holds.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../file.rs"]
mod file;

fuzz_target!(|bytes: &[u8]| {
    let mut archive = tar::Builder::new(Vec::new());
    for line in bytes.split(|byte| *byte == b'\n') {
        let (path, text) =
            line.split_at(line.iter().position(|it| *it == b' ').unwrap_or(line.len()));
        let text = text.strip_prefix(b" ").unwrap_or(text);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_cksum();
        // The format's way to say a name that is long, or that a header would refuse.
        let mut name = tar::Header::new_gnu();
        name.set_entry_type(tar::EntryType::GNULongName);
        name.set_size(path.len() as u64 + 1);
        name.set_cksum();
        archive.append(&name, &[path, b"\0"].concat()[..]).unwrap();
        archive.append(&header, text).unwrap();
    }
    let file = file::holding(&archive.into_inner().unwrap());
    std::hint::black_box(shipperd::bundle::open(&file::path(&file), true).ok());
});
