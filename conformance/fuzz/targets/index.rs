//! `index.json`: what is read is written again the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipperd::oci::{Descriptor, Index, Root};

fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = Index::<Descriptor>::parse(bytes) else { return };
    for descriptor in &index.manifests {
        std::hint::black_box(Root::of(descriptor));
    }
    let written = index.to_bytes().unwrap();
    assert_eq!(Index::<Descriptor>::parse(&written).unwrap().manifests, index.manifests);
});
