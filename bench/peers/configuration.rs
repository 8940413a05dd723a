//! What each peer is told: as lean as it goes.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::content::Image;

/// How a server is to listen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listen<'a> {
    pub(super) address: SocketAddr,
    /// The certificate and its key, for TLS.
    pub(super) tls: Option<[&'a Path; 2]>,
}

/// nginx on static files, with sendfile.
pub(super) fn nginx(listen: Listen<'_>, root: &Path) -> String {
    nginx_on(listen, "", &format!("root {};", root.display()))
}

/// nginx on an OCI layout, with a file of [`names`]: what is asked for by tag or digest is one of its blobs.
pub(super) fn nginx_on_layout(listen: Listen<'_>, root: &Path, names: &Path) -> String {
    let map = format!(
        "map_hash_max_size 131072; map_hash_bucket_size 256;\n\
         map $uri $named {{ include {}; }}\n",
        names.display()
    );
    let locations = format!(
        "root {};\n\
         location ~ /blobs/sha256:(?<hex>[0-9a-f]+)$ {{ rewrite ^ /blobs/sha256/$hex break; }}\n\
         location ~ /manifests/ {{ rewrite ^ /blobs/sha256/$named break; }}\n",
        root.display()
    );
    nginx_on(listen, &map, &locations)
}

/// The digest of each image's manifest by its path, as lines of a map of nginx.
pub(super) fn names(images: &[Image]) -> Result<String> {
    let mut text = String::new();
    for image in images {
        writeln!(text, "{} {};", image.path(), image.manifest.hex)?;
    }
    Ok(text)
}

fn nginx_on(listen: Listen<'_>, http: &str, server: &str) -> String {
    let address = listen.address;
    let (listen, secret) = match listen.tls {
        // As Debian configures it; of itself this version would not speak TLS 1.3.
        Some([certificate, key]) => (
            " ssl",
            format!(
                "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {};",
                certificate.display(),
                key.display()
            ),
        ),
        None => ("", String::new()),
    };
    format!(
        "daemon off; user root; worker_processes auto; pid nginx.pid;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n\
         {http}server {{ listen {address}{listen}; {secret} {server} }} }}\n"
    )
}

/// Both distribution and docker-registry.
pub(super) fn registry(listen: Listen<'_>, storage: &Path, readonly: bool) -> Result<String> {
    let mut text = format!(
        "version: 0.1\n\
         log: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage:\n  filesystem: {{rootdirectory: {}}}\n  cache: {{blobdescriptor: inmemory}}\n\
         \x20 maintenance: {{uploadpurging: {{enabled: false}}, readonly: {{enabled: {readonly}}}}}\n\
         http:\n  addr: {}\n  secret: bench\n",
        storage.display(),
        listen.address
    );
    if let Some([certificate, key]) = listen.tls {
        writeln!(
            text,
            "  tls: {{certificate: {}, key: {}}}",
            certificate.display(),
            key.display()
        )?;
    }
    Ok(text)
}
