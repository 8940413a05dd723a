//! Too much, too many, too slow: bounded, and everyone else is served meanwhile.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use super::wire::{Connection, ask};
use super::{Lab, blob};

#[test]
fn heads_may_be_large_but_not_huge() {
    let lab = Lab::open();
    let target = "/v2/lab/app/manifests/v1";
    // Bearer tokens of some clouds come to 16 KiB.
    for (length, statuses) in [
        (8 << 10, &[200][..]),
        (32 << 10, &[200]),
        (128 << 10, &[400, 431, 0]),
        (1 << 20, &[400, 431, 0]),
        (16 << 20, &[400, 431, 0]),
    ] {
        let mut connection = Connection::open(lab.address());
        let header = format!("Authorization: Bearer {}", "x".repeat(length));
        // The server need not read it to its end.
        connection.request("GET", target, &[&header]).ok();
        let status = connection.answer().map_or(0, |answer| answer.status);
        assert!(statuses.contains(&status), "{length}: {status}");
    }
    for (count, statuses) in [(50, &[200][..]), (5000, &[400, 431, 0]), (100_000, &[400, 431, 0])] {
        let lines = vec!["X-Header: 1"; count];
        let mut connection = Connection::open(lab.address());
        connection.request("GET", target, &lines).ok();
        let status = connection.answer().map_or(0, |answer| answer.status);
        assert!(statuses.contains(&status), "{count} headers: {status}");
    }
    lab.is_well();
}

#[test]
fn addresses_may_be_long_but_not_huge() {
    let lab = Lab::open();
    for (length, statuses) in
        [(1000, &[200][..]), (20_000, &[414]), (60_000, &[414]), (1 << 20, &[400, 414, 431, 0])]
    {
        let mut connection = Connection::open(lab.address());
        let target = format!("/v2/lab/app/manifests/v1?x={}", "y".repeat(length));
        connection.request("GET", &target, &[]).ok();
        let status = connection.answer().map_or(0, |answer| answer.status);
        assert!(statuses.contains(&status), "{length}: {status}");
    }
    lab.is_well();
}

#[test]
fn two_thousand_connections_at_once() {
    // Half of the connections are ours, and shells start with 1024 descriptors.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let lab = Lab::open();
    let mut connections: Vec<Connection> =
        (0..2000).map(|_| Connection::open(lab.address())).collect();
    // Idle ones hold up nobody, and each of them is served when it asks.
    lab.is_well();
    let expected = lab.bytes(&lab.app);
    let target = "/v2/lab/app/manifests/v1";
    for connection in &mut connections {
        connection.request("GET", target, &[]).unwrap();
    }
    for (number, connection) in connections.iter_mut().enumerate() {
        let answer = connection.answer().unwrap();
        assert!(answer.status == 200 && answer.body == expected, "connection {number}");
    }
    drop(connections);
    lab.is_well();
}

#[test]
fn two_hundred_aborted_transfers() {
    let lab = Lab::open();
    let before = memory(&lab);
    let target = blob(&lab.layer);
    for number in 0..200 {
        let mut connection = Connection::open(lab.address());
        connection.request("GET", &target, &[]).unwrap();
        if number % 2 == 0 {
            assert_eq!(connection.head().unwrap().status, 200);
            connection.drain(number * 1000).unwrap();
        }
        // Unread bytes make the kernel send a reset.
    }
    let answer = lab.get(&target);
    assert!(answer.body == lab.bytes(&lab.layer));
    let grown = memory(&lab).saturating_sub(before);
    assert!(grown < 32 << 20, "grew by {grown} bytes");
}

#[test]
fn slow_readers_hold_up_nobody_and_no_memory() {
    let lab = Lab::open();
    let before = memory(&lab);
    let target = blob(&lab.layer);
    let mut stalled = Vec::new();
    for _ in 0..200 {
        let mut connection = Connection::open(lab.address());
        connection.request("GET", &target, &[]).unwrap();
        assert_eq!(connection.head().unwrap().status, 200);
        stalled.push(connection);
    }
    let asked = Instant::now();
    for _ in 0..20 {
        lab.is_well();
    }
    assert!(asked.elapsed() < Duration::from_secs(5));
    // 200 MiB were asked for; two pieces of 256 KiB each may wait.
    let grown = memory(&lab).saturating_sub(before);
    assert!(grown < 160 << 20, "grew by {grown} bytes");
    for mut connection in stalled.into_iter().take(10) {
        assert_eq!(connection.drain(1 << 20).unwrap(), 1 << 20);
    }
}

#[test]
fn slow_heads_are_hung_up_on() {
    let lab = Lab::open();
    let slow: Vec<thread::JoinHandle<Duration>> = ["", "G", "GET /v2/ HTTP/1.1\r\nHost: x\r\nA: "]
        .map(|begin| {
            let address = lab.address().to_owned();
            thread::spawn(move || {
                let begun = Instant::now();
                let stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                trickle(&stream, begin);
                begun.elapsed()
            })
        })
        .into();
    for slow in slow {
        let lasted = slow.join().unwrap();
        assert!(lasted < Duration::from_secs(50), "{lasted:?}");
    }
    lab.is_well();
}

/// Sends `begin`, then a byte each second, until the server hangs up or a minute has passed.
fn trickle(mut stream: &TcpStream, begin: &str) {
    use std::io::{Read as _, Write as _};
    stream.write_all(begin.as_bytes()).unwrap();
    let mut buffer = [0; 4096];
    for _ in 0..60 {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
            // 408, say: the end of the stream comes next.
            Ok(_) => continue,
        }
        let more: &[u8] = if begin.is_empty() { b"" } else { b"x" };
        if stream.write_all(more).is_err() {
            return;
        }
    }
}

#[test]
fn podman_opens_a_connection_for_every_request() {
    let lab = Lab::open();
    let expected = lab.bytes(&lab.app);
    for _ in 0..1000 {
        let answer = ask(lab.address(), "GET", "/v2/lab/app/manifests/v1", &[]);
        assert!(answer.status == 200 && answer.body == expected);
    }
}

/// The resident memory of the server, in bytes.
fn memory(lab: &Lab) -> usize {
    lab.site.daemon.memory()
}
