//! Connections: how many, how long, and how they end.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use shipperd::content::live::{Edition, Findings, Served, State, Status};
use shipperd::content::memory::Memory;
use shipperd::server::Options;
use uuid::Uuid;

use super::house::House;

fn house(options: Options) -> House {
    House::open(Memory::new().unwrap(), options)
}

/// More than the buffers between two sockets take up.
const LARGE: usize = 64 << 20;

/// A house with a large blob, and the target of that blob.
fn large(options: Options) -> (House, String) {
    let mut memory = Memory::new().unwrap();
    let bytes = vec![7; LARGE];
    let (repository, media_type) = ("a".parse().unwrap(), "application/x".parse().unwrap());
    memory.insert_manifest(&repository, None, &media_type, b"{}").unwrap();
    let digest = memory.insert_blob(&bytes).unwrap();
    (House::open(memory, options), format!("/v2/a/blobs/{digest}"))
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
        imageset: None,
        state,
        notes: vec!["superblock: bad magic".to_owned()],
        damaged: Findings::default(),
    };
    let broken = status("broken.sqfs", State::Refused);
    let good = status("good.sqfs", State::Live);
    let serve = |bundles| {
        house.live.replace(Served { source: Memory::new().unwrap(), bundles, ambiguous: 3 });
    };
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

#[test]
fn metrics_tell_the_newest_sequence_of_each_imageset() {
    let house = house(Options::default());
    let status = |sequence, state| Status {
        path: format!("{sequence}.sqfs").into(),
        imageset: Some(Edition {
            id: Uuid::nil(),
            name: "ocp \"prod\"".to_owned(),
            sequence,
            part: None,
        }),
        state,
        notes: vec![],
        damaged: Findings::default(),
    };
    let serve = |bundles| {
        house.live.replace(Served { source: Memory::new().unwrap(), bundles, ambiguous: 3 });
        house.get("/metrics").text()
    };
    let (live, waiting) = (State::Live, State::Waiting);
    let metrics = serve(vec![status(2, live), status(1, live), status(4, waiting)]);
    let sequence = "shipperd_imageset_sequence{imageset=\"ocp \\\"prod\\\"\",id=\"00000000-0000-0000-0000-000000000000\"}";
    for line in [
        &format!("{sequence} 2\n"),
        "shipperd_bundles{state=\"waiting\"} 1\n",
        "shipperd_bundles{state=\"ignored\"} 0\n",
        "shipperd_ambiguous_names 3\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(serve(vec![status(1, live)]).contains(&format!("{sequence} 1\n")), "rolled back");
    assert!(!serve(vec![]).contains("imageset_sequence{"), "what is gone has no gauge");
}

#[test]
fn a_running_answer_ends_before_the_server_does() {
    let (mut house, target) = large(Options::default());
    let mut client = house.connect();
    client.send("GET", &target, "");
    let mut first = [0; 1000];
    client.stream.read_exact(&mut first).unwrap();
    house.begin_stop();
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).unwrap();
    assert!(first.len() + rest.len() > LARGE);
    assert!(rest.iter().rev().take(LARGE - first.len()).all(|byte| *byte == 7));
    house.wait();
}

#[test]
fn what_does_not_end_is_broken_off_after_the_grace_period() {
    let grace = Duration::from_millis(300);
    let (mut house, target) = large(Options { grace, ..Options::default() });
    let mut client = house.connect();
    client.send("GET", &target, "");
    client.stream.read_exact(&mut [0; 1000]).unwrap();
    let started = Instant::now();
    house.begin_stop();
    house.wait();
    assert!(started.elapsed() >= grace && started.elapsed() < Duration::from_secs(10));
}

#[test]
fn slow_readers_are_given_up() {
    let write_timeout = Duration::from_millis(200);
    let (house, target) = large(Options { write_timeout, ..Options::default() });
    let mut client = house.connect();
    client.send("GET", &target, "");
    client.stream.read_exact(&mut [0; 1000]).unwrap();
    let started = Instant::now();
    // Its own connection is the one that is left.
    while !house.get("/metrics").text().contains("shipperd_connections 1\n") {
        assert!(started.elapsed() < Duration::from_secs(20), "the connection is still open");
        thread::sleep(Duration::from_millis(50));
    }
    let mut rest = Vec::new();
    let ended = client.stream.read_to_end(&mut rest);
    assert!(ended.is_err() || rest.len() < LARGE, "{}", rest.len());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let house = house(Options::default());
    let mut client = house.connect();
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let requests = [request("/v2/"), request("/v2/a/tags/list"), request("/livez")].concat();
    client.stream.write_all(requests.as_bytes()).unwrap();
    assert_eq!(client.answer(false).text(), "{}");
    assert_eq!(client.answer(false).status, 404);
    assert_eq!(client.answer(false).text(), "ok\n");
}

#[test]
fn two_thousand_connections_are_served() {
    let house = house(Options::default());
    let mut clients: Vec<_> = (0..2000).map(|_| house.connect()).collect();
    for _ in 0..2 {
        clients.iter_mut().for_each(|client| client.send("GET", "/v2/", ""));
        for client in &mut clients {
            assert_eq!(client.answer(false).status, 200);
        }
    }
}

#[test]
fn more_connections_than_allowed_wait_for_their_turn() {
    let house = house(Options { max_connections: 2, ..Options::default() });
    let (first, second) = (house.connect(), house.connect());
    let mut third = house.connect();
    third.send("GET", "/v2/", "");
    third.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(third.stream.read(&mut [0]).is_err(), "not answered yet");
    third.stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    drop(first);
    assert_eq!(third.answer(false).status, 200);
    drop(second);
}

#[test]
fn what_http_itself_forbids() {
    let house = house(Options::default());
    let long = "a".repeat(9000);
    for (request, status) in [
        ("GET /v2/ HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET /v2/ HTTP/1.0\r\n\r\n".to_owned(), 200),
        (format!("GET /v2/{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long.repeat(8)), 431),
        ("GET http://other/v2/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200),
        ("CONNECT other:80 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404),
        ("nonsense\r\n\r\n".to_owned(), 400),
    ] {
        let mut client = house.connect();
        client.stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(client.answer(false).status, status, "{request:.60}");
    }
}
