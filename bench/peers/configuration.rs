//! What each peer is told: as lean as it goes.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

/// How a server is to listen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listen<'a> {
    pub(super) address: SocketAddr,
    /// The certificate and its key, for TLS.
    pub(super) tls: Option<[&'a Path; 2]>,
}

/// nginx on static files, with sendfile.
pub(super) fn nginx(listen: Listen<'_>, root: &Path) -> String {
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
         server {{ listen {address}{listen}; {secret} root {}; }} }}\n",
        root.display()
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
