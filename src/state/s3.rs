//! States in object storage: one object for each imageset, replaced by conditional writes.
//!
//! A server that does not know `If-Match` and `If-None-Match` cannot keep states safely.
//! Nothing is deleted: no condition can be put on that. What is left says that nothing is here.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    Certificate, ClientConfigKey, ClientOptions, Error, ObjectStore, ObjectStoreExt as _, PutMode,
    PutOptions, PutPayload, RetryConfig, UpdateVersion,
};

use super::{Fault, MAX_SIZE, Stored, Version};

/// What is left of a state that was removed.
const REMOVED: &[u8] = b"{\"schemaVersion\":1,\"removed\":true}\n";
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How long one request may take: long enough for the largest state on a slow line.
const TIMEOUT: Duration = Duration::from_secs(600);
/// How often a request that failed in passing is repeated, and for how long at most.
const RETRIES: (usize, Duration) = (4, Duration::from_secs(30));

/// The variables that say how object storage is reached: `AWS_ACCESS_KEY_ID` and others.
#[derive(Clone, Default)]
pub struct Aws(Vec<(String, String)>);

/// Some of the values are secrets.
impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Aws {
    /// The variables of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |name: std::ffi::OsString| name.into_string().ok();
        let variables = std::env::vars_os();
        Self::new(variables.filter_map(|(name, value)| Some((text(name)?, text(value)?))))
    }

    /// These variables, as far as they begin with `AWS_` and are set to something.
    #[must_use]
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = |(name, value): &(String, String)| name.starts_with("AWS_") && !value.is_empty();
        Self(variables.into_iter().filter(ours).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// The state of one imageset in a bucket.
#[derive(Clone, Debug)]
pub(super) struct S3 {
    bucket: AmazonS3,
    object: Path,
}

/// Why object storage cannot be used, or what it answered.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The endpoint is one that plain HTTP is not allowed for.
    #[error("plain HTTP is not allowed for {0}: what is sent could be altered on its way")]
    PlainHttp(String),
    /// The file of authorities to trust is not readable.
    #[error("cannot read the certificates that AWS_CA_BUNDLE names, {path:?}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bucket is not there.
    #[error("there is no such bucket")]
    NoBucket,
    /// Without versions there are no conditional writes.
    #[error("the server gives objects no version (ETag)")]
    NoVersion,
    /// Who asks is not known, or may not do this.
    #[error("the server refused the credentials: {0}")]
    Refused(String),
    /// Anything else, in the words of the server or the system.
    #[error("{0}")]
    Other(String),
}

impl S3 {
    /// The object of an imageset; connects to nothing.
    pub(super) fn new(
        bucket: &str,
        prefix: &str,
        imageset: &str,
        aws: &Aws,
    ) -> Result<Self, Fault> {
        let mut options = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_read_timeout(SILENCE)
            .with_timeout(TIMEOUT);
        if let Some(path) = aws.get("AWS_CA_BUNDLE") {
            let unreadable = |source| Problem::Authorities { path: path.into(), source };
            let pem = std::fs::read(path).map_err(unreadable).map_err(Fault::of)?;
            for certificate in Certificate::from_pem_bundle(&pem).map_err(fault)? {
                options = options.with_root_certificate(certificate);
            }
        }
        let (max_retries, retry_timeout) = RETRIES;
        let retries = RetryConfig { max_retries, retry_timeout, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new().with_client_options(options).with_retry(retries);
        for (name, value) in &aws.0 {
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        if let Some(endpoint) = endpoint.filter(|it| it.starts_with("http://")) {
            let allowed = aws.get("AWS_ALLOW_HTTP").is_some_and(|it| it == "true" || it == "1");
            if !allowed && !is_loopback(&endpoint) {
                return Err(Fault::of(Problem::PlainHttp(endpoint)));
            }
            // Nothing is verified, so the system's certificates need not be there.
            let unneeded = AmazonS3ConfigKey::Client(ClientConfigKey::NoSystemCertificates);
            builder = builder.with_allow_http(true).with_config(unneeded, "true");
        }
        let builder = builder.with_conditional_put(S3ConditionalPut::ETagMatch);
        let bucket = builder.with_bucket_name(bucket).build().map_err(fault)?;
        let object = [prefix, "/", imageset, ".json"].concat();
        Ok(Self { bucket, object: Path::from(object.trim_start_matches('/')) })
    }

    pub(super) async fn read(&self) -> Result<Option<Stored>, Fault> {
        Ok(self.stored().await?.filter(|stored| stored.bytes != REMOVED))
    }

    pub(super) async fn write(
        &self,
        bytes: Vec<u8>,
        expected: Option<&Version>,
    ) -> Result<Version, Fault> {
        if let Some(expected) = expected {
            return self.put(bytes, update(expected)).await;
        }
        match self.put(bytes.clone(), PutMode::Create).await {
            // What is there may say that nothing is.
            Err(Fault::Conflict) => match self.stored().await? {
                Some(Stored { bytes: found, version }) if found == REMOVED => {
                    self.put(bytes, update(&version)).await
                }
                _ => Err(Fault::Conflict),
            },
            written => written,
        }
    }

    pub(super) async fn remove(&self, expected: &Version) -> Result<(), Fault> {
        self.put(REMOVED.to_vec(), update(expected)).await.map(drop)
    }

    async fn put(&self, bytes: Vec<u8>, mode: PutMode) -> Result<Version, Fault> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.bucket.put_opts(&self.object, PutPayload::from(bytes), options).await;
        version(put.map_err(fault)?.e_tag)
    }

    async fn stored(&self) -> Result<Option<Stored>, Fault> {
        let found = match self.bucket.get(&self.object).await {
            Err(error @ Error::NotFound { .. }) if !is_bucket(&error) => return Ok(None),
            found => found.map_err(fault)?,
        };
        let version = version(found.meta.e_tag.clone())?;
        let mut stream = found.into_stream();
        let mut bytes = Vec::new();
        while let Some(piece) = stream.try_next().await.map_err(fault)? {
            if bytes.len() as u64 + piece.len() as u64 > MAX_SIZE {
                return Err(Fault::TooLong);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(Stored { bytes, version }))
    }
}

fn update(Version(e_tag): &Version) -> PutMode {
    PutMode::Update(UpdateVersion { e_tag: Some(e_tag.clone()), version: None })
}

fn version(e_tag: Option<String>) -> Result<Version, Fault> {
    e_tag.map(Version).ok_or_else(|| Fault::of(Problem::NoVersion))
}

/// Whether it is the bucket that is not found.
fn is_bucket(error: &Error) -> bool {
    text(error).contains("NoSuchBucket")
}

#[expect(clippy::needless_pass_by_value, reason = "it is for map_err")]
fn fault(error: Error) -> Fault {
    Fault::of(match &error {
        Error::AlreadyExists { .. } | Error::Precondition { .. } => return Fault::Conflict,
        Error::NotFound { .. } if is_bucket(&error) => Problem::NoBucket,
        Error::PermissionDenied { source, .. } | Error::Unauthenticated { source, .. } => {
            Problem::Refused(told(&text(&**source)))
        }
        Error::Generic { source, .. } | Error::NotFound { source, .. } => {
            Problem::Other(told(&text(&**source)))
        }
        _ => Problem::Other(told(&text(&error))),
    })
}

/// An error and its causes in one line, each said once: the errors of the crate repeat theirs.
fn text(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// What a person wants to know of an answer: what was asked, and the code and message of the
/// server, which tells much more than that.
fn told(text: &str) -> String {
    let Some((head, answer)) = text.split_once(" - ") else { return shortened(text) };
    let Some(asked) = head.strip_prefix("Error performing ") else { return shortened(text) };
    let asked = asked.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let answer = match (element(answer, "Code"), element(answer, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => answer.to_owned(),
    };
    shortened(&format!("{asked}: {answer}"))
}

/// The text of an element without attributes.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// The beginning of what a stranger wrote.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 400;
    text.trim().chars().take(LONGEST).collect()
}

/// Whether what a URL names never leaves this machine.
fn is_loopback(url: &str) -> bool {
    let authority = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(variables: &[(&str, &str)]) -> Result<S3, Fault> {
        let keys = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];
        let variables = keys.iter().chain(variables);
        let aws = Aws::new(variables.map(|(name, value)| ((*name).into(), (*value).into())));
        assert!(!format!("{aws:?}").contains("hunter2"));
        S3::new("bucket", "a/b", "demo", &aws)
    }

    #[test]
    fn plain_http_only_within_the_machine_or_where_it_is_allowed() {
        for (endpoint, allow, good) in [
            ("http://127.0.0.1:9000", "", true),
            ("http://[::1]:9000/path", "", true),
            ("http://localhost", "", true),
            ("http://192.0.2.1:9000", "", false),
            ("http://192.0.2.1:9000", "true", true),
            ("http://localhost@192.0.2.1", "", false),
            ("http://127.0.0.1.example.com", "", false),
            ("https://192.0.2.1", "", true),
        ] {
            let opened = open(&[("AWS_ENDPOINT_URL", endpoint), ("AWS_ALLOW_HTTP", allow)]);
            assert_eq!(opened.is_ok(), good, "{endpoint}");
        }
    }

    #[test]
    fn answers_are_told_in_short() {
        let asked = "Error performing GET http://h/b/k in 10.5ms, after 4 retries ";
        for (text, expected) in [
            (
                format!(
                    "{asked} - Server returned 403: <?xml?><Error><Code>NoKey</Code>\
                     <Message>who - what?</Message><StringToSign>x</StringToSign></Error>"
                ),
                "GET http://h/b/k: NoKey: who - what?".to_owned(),
            ),
            (format!("{asked} - no route"), "GET http://h/b/k: no route".to_owned()),
            ("anything else - really".to_owned(), "anything else - really".to_owned()),
            ("x".repeat(1000), "x".repeat(400)),
        ] {
            assert_eq!(told(&text), expected);
        }
    }

    #[test]
    fn objects_have_names_and_secrets_are_not_shown() {
        let s3 = open(&[]).unwrap();
        assert_eq!(s3.object.as_ref(), "a/b/demo.json");
        assert!(!format!("{s3:?}").contains("hunter2"), "{s3:?}");
        let s3 = S3::new("bucket", "", "demo", &Aws::default()).unwrap();
        assert_eq!(s3.object.as_ref(), "demo.json");
        assert!(open(&[("AWS_CA_BUNDLE", "/nowhere")]).is_err());
    }
}
