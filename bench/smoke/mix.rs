//! The fixed mix: what is asked of shipperd, how often, and on what.
//!
//! All is asked on one connection, one after the other, of a server that has one core; each kind a
//! few times first, so that what is made once is not counted, but where a first read is meant.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::callgrind::{self, Server};
use crate::client::{Client, Question};
use crate::content::{Content, Image, LARGE};

/// How many instructions the program took for something.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    /// For what.
    pub(crate) words: String,
    pub(crate) instructions: u64,
    /// By which part of its record it may change: far more than it does from run to run.
    pub(crate) bound: f64,
}

/// What hangs on our code alone, and on nothing that differs between runs but hashing.
const BOUND: f64 = 0.1;
/// What the kernel sends: how often it is told to go on hangs on when the client reads. A copy
/// through our memory would cost a hundred times as much.
const SENT: f64 = 9.0;

const REQUESTS: usize = 200;
const CONNECTIONS: usize = 20;

impl Count {
    fn new(words: String, instructions: u64) -> Self {
        Self { words, instructions, bound: BOUND }
    }
}

/// Counts all of the mix.
pub(crate) fn count(program: &Path, directory: &Path) -> Result<Vec<Count>> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory)?;
    let content = Content::write(directory.join("layout"))?;
    let (layout, output) = (format!("oci:{}", content.layout.display()), directory.display());
    let output = output.to_string();
    let bundle = format!("{output}/mix-1.sqfs");
    let mut counted = Vec::new();
    for arguments in [
        ["create", "--quiet", "--name=mix", "--no-referrers", "-o", &output, &layout].as_slice(),
        &["inspect", &bundle],
        &["verify", "--quiet", &bundle],
    ] {
        let name = arguments.first().copied().unwrap_or_default();
        let instructions = callgrind::count(program, arguments, directory, name)?;
        counted.push(Count::new(format!("{name}, {}", content.words), instructions));
    }
    counted.extend(clear(program, &bundle, &content, directory)?);
    counted.extend(tls(program, &bundle, &content, directory)?);
    Ok(counted)
}

/// Counts what is asked in clear text.
fn clear(program: &Path, bundle: &str, content: &Content, directory: &Path) -> Result<Vec<Count>> {
    let mut server = Server::start(program, &[bundle], directory)?;
    let start = Count::new(format!("start, {}", content.words), server.count("start")?);
    let mut asked = Asked { server, tls: None };
    let of_each = |path: &dyn Fn(&Image) -> String| -> Vec<Question> {
        content.images.iter().take(REQUESTS).map(|it| Question::get(path(it))).collect()
    };
    let same = |question: Question| vec![question; REQUESTS];
    let absent = |path: String| same(Question { status: 404, ..Question::get(path) });
    let tags = of_each(&|it| it.manifest_path(&it.tag));
    let heads: Vec<_> =
        tags.iter().map(|question| Question { method: "HEAD", ..question.clone() }).collect();
    let digests = of_each(&|it| it.manifest_path(&it.manifest));
    let small = of_each(&|it| it.blob_path(&it.small));
    let image = content.image(0)?;
    let large = Question::get(image.blob_path(&image.large));
    let middle = (LARGE / 2) as u64;
    let part = Question { range: Some((middle, middle + 1023)), status: 206, ..large.clone() };
    let nobody = format!("sha256:{}", "0".repeat(64));
    let list = |kind: &str| same(Question::get(format!("/v2/{}/{kind}", image.repository)));
    Ok(vec![
        start,
        asked.requests("GET /v2/", &same(Question::get("/v2/".to_owned())))?,
        asked.requests("manifest by tag", &tags)?,
        asked.requests("manifest by tag, HEAD", &heads)?,
        asked.requests("manifest by digest", &digests)?,
        asked.requests("manifest, absent", &absent(image.manifest_path("absent")))?,
        asked.requests("blob, absent", &absent(image.blob_path(&nobody)))?,
        asked.requests("100 tags", &list("tags/list"))?,
        asked.requests("no referrers", &list(&format!("referrers/{}", image.manifest)))?,
        asked.first_requests("blob of 400 bytes, first read", &small)?,
        asked.requests("blob of 400 bytes", &small)?,
        asked.connections("connection and GET /v2/")?,
        asked.large("large blob, first read", &large, 1)?,
        Count { bound: SENT, ..asked.large("large blob", &large, 4)? },
        asked.requests("1 KiB of a large blob", &same(part))?,
    ])
}

/// Counts what is asked under TLS.
fn tls(program: &Path, bundle: &str, content: &Content, directory: &Path) -> Result<Vec<Count>> {
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert.der().to_vec()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Each connection is made by a whole handshake.
    client.resumption = Resumption::disabled();
    let certificate = format!("--tls-cert={}", certificate.display());
    let key = format!("--tls-key={}", key.display());
    let server = Server::start(program, &[bundle, &certificate, &key], directory)?;
    let mut asked = Asked { server, tls: Some(Arc::new(client)) };
    let images = content.images.iter().take(REQUESTS);
    let tags: Vec<_> = images.map(|it| Question::get(it.manifest_path(&it.tag))).collect();
    let image = content.image(1)?;
    let large = Question::get(image.blob_path(&image.large));
    Ok(vec![
        asked.connections("TLS connection and GET /v2/")?,
        asked.requests("manifest by tag under TLS", &tags)?,
        asked.large("large blob under TLS, first read", &large, 1)?,
        asked.large("large blob under TLS", &large, 4)?,
    ])
}

/// A server that is asked.
struct Asked {
    server: Server,
    tls: Option<Arc<ClientConfig>>,
}

impl Asked {
    /// Asks on one connection, and counts for each request, once some were answered.
    fn requests(&mut self, words: &str, questions: &[Question]) -> Result<Count> {
        let mut client = self.connect()?;
        for question in questions.iter().take(10) {
            client.ask(question)?;
        }
        self.count(words, "request", questions.len(), || {
            questions.iter().try_for_each(|question| client.ask(question).map(drop))
        })
    }

    /// Asks on one connection, and counts for each request from the first.
    fn first_requests(&mut self, words: &str, questions: &[Question]) -> Result<Count> {
        let mut client = self.connect()?;
        client.ask(&Question::get("/v2/".to_owned()))?;
        self.count(words, "request", questions.len(), || {
            questions.iter().try_for_each(|question| client.ask(question).map(drop))
        })
    }

    /// Makes a connection for each request.
    fn connections(&mut self, words: &str) -> Result<Count> {
        let (address, tls) = (self.server.address, self.tls.clone());
        let question = Question::get("/v2/".to_owned());
        let ask = || Client::connect(address, tls.as_ref())?.ask(&question).map(drop);
        ask()?;
        self.count(words, "connection", CONNECTIONS, || (0..CONNECTIONS).try_for_each(|_| ask()))
    }

    /// Asks for a large blob some times, and counts for each MiB.
    fn large(&mut self, words: &str, question: &Question, times: usize) -> Result<Count> {
        let mut client = self.connect()?;
        client.ask(&Question::get("/v2/".to_owned()))?;
        self.count(words, "MiB", (times * LARGE) >> 20, || {
            (0..times).try_for_each(|_| client.ask(question).map(drop))
        })
    }

    fn connect(&self) -> Result<Client> {
        Client::connect(self.server.address, self.tls.as_ref())
    }

    fn count(
        &mut self,
        words: &str,
        unit: &str,
        units: usize,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<Count> {
        self.server.count("between")?;
        work().with_context(|| format!("cannot count {words}"))?;
        let instructions = self.server.count(words)?;
        Ok(Count::new(format!("{words}, for each {unit}"), instructions / units as u64))
    }
}
