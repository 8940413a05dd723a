//! Squashfs images, ours and those of other tools: every file that is found can be read, or says
//! why not, in bounded memory.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use shipperd::bundle::squashfs;

#[path = "../file.rs"]
mod file;

fuzz_target!(|bytes: &[u8]| {
    let file = Arc::new(file::holding(bytes));
    let Ok(tree) = squashfs::read(&file) else { return };
    let mut buffer = vec![0; 4 << 10];
    for (path, stored) in tree.below("").take(16) {
        let odd = |part: &str| matches!(part, "" | "." | "..") || part.contains('\0');
        assert!(!path.split('/').any(odd), "{path:?}");
        let Ok(content) = stored.open() else { continue };
        let length = content.length();
        for position in [0, length / 2, length.saturating_sub(1)] {
            let rest = usize::try_from(length - position).unwrap_or(usize::MAX);
            let piece = rest.min(buffer.len());
            content.read_at(&mut buffer[..piece], position).ok();
        }
        assert!(content.read_at(&mut buffer[..1], length).is_err(), "{path:?}: past its end");
    }
});
