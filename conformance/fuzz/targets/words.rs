//! Digests, names, tags and references: what parses, prints as something that parses the same.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use shipperd::oci::{
    Digest, MediaType, Reference, Registry, Repository, Tag, TagOrDigest, blob_path,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    round::<Digest>(text);
    round::<Registry>(text);
    round::<Repository>(text);
    round::<Tag>(text);
    round::<TagOrDigest>(text);
    round::<MediaType>(text);
    round::<Reference>(text);
    if let Ok(digest) = text.parse::<Digest>() {
        assert!(!blob_path(&digest).contains(".."));
    }
});

fn round<T: FromStr<Err: Debug> + Display + Debug + PartialEq>(text: &str) {
    let Ok(word) = text.parse::<T>() else { return };
    let printed = word.to_string();
    assert!(!printed.contains(char::is_control), "{printed:?}");
    assert_eq!(printed.parse::<T>().unwrap(), word, "{text:?}");
}
