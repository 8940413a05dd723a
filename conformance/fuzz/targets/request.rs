//! The path and query of a request: what is read has only checked words in it.
#![no_main]

use axum::http::Method;
use libfuzzer_sys::fuzz_target;
use shipperd::oci::Name;
use shipperd::server::request::{Request, parse};

fuzz_target!(|text: &str| {
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let name = match parse(&Method::GET, path, query) {
        Ok(Request::Blob(name, _) | Request::Manifest(name, _) | Request::Tags(name, _)) => name,
        Ok(Request::Referrers(name, ..)) => name,
        Ok(Request::Ping | Request::Repositories(_)) | Err(_) => return,
    };
    let Name { registry, repository } = name;
    assert!(!repository.as_str().contains("..") && !repository.as_str().contains('\0'));
    assert!(registry.is_none_or(|registry| !registry.as_str().contains(['/', '\n'])));
});
