//! The configuration of an imageset: what is refused has a place in the file and can be shown,
//! what is read can be asked.
#![no_main]

use std::hint::black_box;

use libfuzzer_sys::fuzz_target;
use shipperd::imageset::config::{Config, ImageName};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::parse(text) {
        Ok(config) => {
            black_box(config.unsupported());
            for image in &config.mirror.additional_images {
                let ImageName::Remote(reference) = &image.name else { continue };
                assert!(reference.tag.is_some() || reference.digest.is_some(), "{reference}");
                black_box(config.mirror.blocked_by(reference));
                assert!(image.target().is_some());
            }
        }
        Err(error) => {
            let lines = text.chars().filter(|c| matches!(c, '\n' | '\r')).count() + 1;
            assert!(!error.problems().is_empty());
            for problem in error.problems() {
                assert!(!problem.to_string().contains(char::is_control), "{problem}");
                let Some(location) = problem.location else { continue };
                assert!((1..=lines + 1).contains(&location.line), "{problem}");
                assert!(location.column >= 1, "{problem}");
            }
        }
    }
});
