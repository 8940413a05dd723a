//! States in object storage: versitygw's, over directories.

use std::fs;
use std::net::TcpListener;

use object_store::ObjectStoreExt as _;
use object_store::aws::AmazonS3Builder;
use shipperd::state::{Access, Aws, Location, Store};
use tempfile::TempDir;

use super::{Place, state};
use crate::client::{Reach, chain};
use crate::daemon::Daemon;
use crate::program::program;

/// The only key of a server, and its secret.
pub const KEY: (&str, &str) = ("labkey", "labsecret12345");
/// The only bucket of a server.
pub const BUCKET: &str = "states";

/// A running server with one bucket.
pub struct Server {
    /// Stops before its directory goes.
    _daemon: Daemon,
    endpoint: String,
    _directory: TempDir,
}

impl Server {
    /// Starts one; nothing where it is not installed.
    pub fn start() -> Option<Self> {
        // It does not say which port it was given, so that it must be told one.
        let attempts = (0..5).map(|_| {
            let mut command = program("versitygw")?;
            let directory = tempfile::tempdir().unwrap();
            let [data, accounts] = ["data", "accounts"].map(|name| directory.path().join(name));
            fs::create_dir_all(data.join(BUCKET)).unwrap();
            fs::create_dir(&accounts).unwrap();
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            command.env("ROOT_ACCESS_KEY", KEY.0).env("ROOT_SECRET_KEY", KEY.1);
            command.args(["--port", &free.to_string(), "--iam-dir"]).arg(accounts);
            command.arg("posix").arg(data);
            let ready = |line: &str| line.contains("service listening on").then_some(());
            let started = Daemon::attempt(&command, ready).map(|(daemon, ())| Self {
                _daemon: daemon,
                endpoint: format!("http://{free}"),
                _directory: directory,
            });
            Some(started)
        });
        let mut logs = String::new();
        for attempt in attempts {
            match attempt? {
                Ok(server) => return Some(server),
                Err(log) => logs += &log,
            }
        }
        panic!("versitygw does not start:\n{logs}");
    }

    /// The environment of who has this secret.
    pub fn variables(&self, secret: &str) -> [(String, String); 4] {
        let variables = [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", KEY.0),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "us-east-1"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    fn access(&self, secret: &str) -> Access {
        Access { remote: Reach::default().remote(), aws: Aws::new(self.variables(secret)) }
    }

    fn location(bucket: &str) -> Location {
        format!("s3://{bucket}/ci/main").parse().unwrap()
    }

    /// Puts these bytes where the state of an imageset is kept.
    async fn put(&self, imageset: &str, bytes: &[u8]) {
        let builder = AmazonS3Builder::new().with_endpoint(&self.endpoint).with_allow_http(true);
        let builder = builder.with_access_key_id(KEY.0).with_secret_access_key(KEY.1);
        let bucket = builder.with_bucket_name(BUCKET).build().unwrap();
        let path = format!("ci/main/{imageset}.json").into();
        bucket.put(&path, bytes.to_vec().into()).await.unwrap();
    }
}

#[tokio::test]
async fn object_storage_keeps_the_contract() {
    let Some(server) = Server::start() else { return };
    let place = Place {
        location: Server::location(BUCKET),
        access: server.access(KEY.1),
        damage: async |imageset: &str, bytes: &[u8]| server.put(imageset, bytes).await,
    };
    place.keeps_the_contract().await;
    assert_eq!(place.race("race").await, 1);
}

#[tokio::test]
async fn what_object_storage_refuses_is_named() {
    let Some(server) = Server::start() else { return };
    let open = |bucket, secret| {
        Store::open(&Server::location(bucket), "demo", &server.access(secret)).unwrap()
    };
    let object = format!("{}/{BUCKET}/ci/main/demo.json", server.endpoint);
    let refused =
        format!("the server refused the credentials: GET {object}: SignatureDoesNotMatch: ");
    for (bucket, secret, expected) in
        [(BUCKET, "wrong", refused.as_str()), ("nowhere", KEY.1, "there is no such bucket")]
    {
        let store = open(bucket, secret);
        let text = chain(&store.load().await.unwrap_err());
        let place = format!("s3://{bucket}/ci/main");
        let start = format!("cannot load the state of imageset demo in {place}: {expected}");
        assert!(text.starts_with(&start), "{text}");
        assert!(!text.contains(KEY.1) && text.len() < 600, "{text}");
        let text = chain(&store.save(&state("demo", 1, 1), None).await.unwrap_err());
        let expected = expected.replace(": GET", ": PUT");
        let start = format!("cannot save the state of imageset demo in {place}: {expected}");
        assert!(text.starts_with(&start), "{text}");
    }
    let store = open(BUCKET, KEY.1);
    let endpoint = server.endpoint.clone();
    drop(server);
    let text = chain(&store.load().await.unwrap_err());
    let start = format!("cannot load the state of imageset demo in {}: ", store.place());
    assert!(text.starts_with(&start), "{text}");
    assert!(text.contains(&endpoint) && text.contains("onnection refused"), "{text}");
}
