//! Connections: how many, how long, and how they end.

use std::io::Write;
use std::time::{Duration, Instant};

use shipperd::content::live::{Findings, Served, State, Status};
use shipperd::content::memory::Memory;
use shipperd::server::Options;

use super::house::House;

fn house(options: Options) -> House {
    House::open(Memory::new().unwrap(), options)
}

#[test]
fn an_idle_server_stops_at_once() {
    let mut house = house(Options::default());
    let mut busy_before = house.connect();
    busy_before.send("GET", "/v2/", "");
    assert_eq!(busy_before.answer(false).text(), "{}");
    let mut silent = house.connect();
    let started = Instant::now();
    house.begin_stop();
    house.wait();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(busy_before.is_closed());
    assert!(silent.is_closed());
}

#[test]
fn slow_heads_are_given_up() {
    let house = house(Options { head_timeout: Duration::from_millis(300), ..Options::default() });
    let mut half = house.connect();
    half.stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX-Slow: ").unwrap();
    let started = Instant::now();
    assert!(half.is_closed());
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(house.get("/v2/").status, 200);
}

#[test]
fn a_body_is_never_read() {
    let house = house(Options::default());
    let mut client = house.connect();
    let headers = "Content-Length: 1099511627776\r\nExpect: 100-continue\r\n";
    client.send("PUT", "/v2/a/manifests/v1", headers);
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    assert!(answer.text().contains("UNSUPPORTED"), "{}", answer.text());
    assert!(client.is_closed());
    let mut client = house.connect();
    client.send("POST", "/v2/a/blobs/uploads/", "Content-Length: 100000\r\n");
    client.stream.write_all(&[0; 100_000]).unwrap();
    assert_eq!(client.answer(false).status, 405);
}

#[test]
fn ready_says_how_each_bundle_fares() {
    let house = house(Options::default());
    assert_eq!(house.get("/livez").text(), "ok\n");
    assert_eq!(house.get("/readyz").status, 200, "an empty directory is watched");
    let status = |name: &str, state| Status {
        path: name.into(),
        state,
        notes: vec!["superblock: bad magic".to_owned()],
        damaged: Findings::default(),
    };
    let broken = status("broken.sqfs", State::Refused);
    let good = status("good.sqfs", State::Live);
    let serve = |bundles| house.live.replace(Served { source: Memory::new().unwrap(), bundles });
    serve(vec![broken.clone()]);
    let answer = house.get("/readyz");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("superblock: bad magic"), "{}", answer.text());
    serve(vec![broken, good.clone()]);
    let answer = house.get("/readyz");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("broken.sqfs"), "{}", answer.text());
    // Damage that is found later shows without a change of what is served.
    good.damaged.add("blob sha256:00 at byte 4096 is damaged".to_owned());
    assert!(house.get("/readyz").text().contains("at byte 4096"));
    let metrics = house.get("/metrics").text();
    for line in [
        "shipperd_damaged_blobs 1",
        "shipperd_bundles{state=\"live\"} 1",
        "shipperd_bundles{state=\"refused\"} 1",
        "shipperd_requests_total{endpoint=\"admin\",status=\"5xx\"} 1",
        "shipperd_requests_in_flight 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}
