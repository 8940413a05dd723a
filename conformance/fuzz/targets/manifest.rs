//! Manifests and indexes, with and without a declared type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipperd::oci::{Manifest, MediaType};

fuzz_target!(|bytes: &[u8]| {
    for declared in MediaType::MANIFESTS {
        let declared = declared.parse().unwrap();
        let Ok(manifest) = Manifest::parse(bytes, Some(&declared)) else { continue };
        assert!(manifest.children.len() <= bytes.len());
        assert!(!manifest.media_type.as_str().contains(char::is_control));
        for child in &manifest.children {
            std::hint::black_box(child.required());
        }
    }
    std::hint::black_box(Manifest::parse(bytes, None).ok());
});
