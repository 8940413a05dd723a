//! A bundle of any format, opened as the server opens it: archives above all.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../file.rs"]
mod file;

fuzz_target!(|bytes: &[u8]| {
    let file = file::holding(bytes);
    let path = file::path(&file);
    for verify in [false, true] {
        let Ok(bundle) = shipperd::bundle::open(&path, verify) else { continue };
        for problem in &bundle.problems {
            assert!(!problem.to_string().is_empty());
        }
        for (digest, stored) in bundle.index.blobs() {
            assert!(stored.length() <= bytes.len() as u64 || stored.offset().is_none(), "{digest}");
        }
    }
});
