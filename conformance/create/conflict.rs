//! Two runs on one state that no lock can keep apart: the second to finish is refused.

use serde_json::json;

use super::Yard;
use crate::client::distribution::{Distribution, Setup};
use crate::client::scripted::{Scripted, with};
use crate::fixtures::Content;
use crate::fixtures::image::image;
use crate::fixtures::layer::noise;

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_runs_on_a_state_in_a_registry_is_refused_and_loses_nothing() {
    let Some(states) = Distribution::start(Setup::default()).await else { return };
    let state = format!("docker://{}/states/fleet", states.registry());
    let options = ["--plain-http", states.registry().as_str(), "--state", &state];
    // The registry of the images answers the first run only when the second has ended.
    let slow = super::proxy::Proxy::start(states.registry().as_str(), 1).await;
    let (first, second) = (Yard::new().with(&options), Yard::new().with(&options));
    let first = first.with(&["--plain-http", slow.registry().as_str()]);
    let mut content = Content::default();
    let other = image("amd64").plain_layer(noise(1, 1000)).add(&mut content);
    content.tag("quay.io/lab/other:v1", &other);
    content.write_layout(&second.path().join("layout"));
    slow.set_held(true);
    let held = format!("{}/lab/other:v1", slow.registry());
    let mut creating = first.creating("fleet", &[&held]);
    let child = creating.stderr(std::process::Stdio::piped()).spawn().unwrap();
    slow.until_held().await;
    second.bundle("fleet", &["oci:layout"]).await;
    slow.set_held(false);
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("was changed meanwhile by somebody else"), "{said}");
    let mut left = first.left();
    left.sort();
    assert_eq!(left, ["fleet-1.sqfs.journal", "fleet-1.sqfs.partial"], "no bundle, nothing lost");

    // What it fetched counts for the next run, which is sequence 2.
    drop(slow.asked());
    let outcome = first.create("fleet", &[&held]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(slow.asked(), [], "nothing is fetched again");
    assert_eq!(first.left(), ["fleet-2.sqfs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_whose_state_cannot_be_saved_is_taken_up_by_the_next_run() {
    let refused = json!({"errors": [{"code": "DENIED", "message": "read-only"}]}).to_string();
    let readable = Scripted::start(move |seen| match seen.method.as_str() {
        "GET" | "HEAD" => with(404, &[], ""),
        _ => with(403, &[("content-type", "application/json")], refused.clone()),
    })
    .await;
    let yard = Yard::new();
    let mut content = Content::default();
    let image = image("amd64").plain_layer(noise(1, 1000)).add(&mut content);
    content.tag("quay.io/lab/app:v1", &image);
    content.write_layout(&yard.path().join("layout"));
    let state = format!("docker://{}/states/fleet", readable.registry());
    let options = ["--plain-http", readable.registry().as_str(), "--state", &state];
    let outcome = yard.create("fleet", &[&options[..], &["oci:layout"]].concat()).await;
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("cannot save the state of imageset fleet"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.bundle.exists(), "it may have been carried away already");

    let outcome = yard.create("fleet", &["oci:layout"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(yard.left(), ["fleet-1.sqfs"], "nothing is new, and no journal is left");
    assert!(yard.path().join("state/shipperd/imagesets/fleet.json").exists());
}
