//! A host that is gone costs the patience of one request, and gets it back when it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use shipperd::oci::{Digest, Registry};
use shipperd::source::Source as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{RETRIES, Reach, app};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn patience_is_spent_once_until_there_is_an_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry: Registry = listener.local_addr().unwrap().to_string().parse().unwrap();
    let (count, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counter, does_answer) = (Arc::clone(&count), Arc::clone(&answers));
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
            if does_answer.load(Ordering::Relaxed) {
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                stream.write_all(ANSWER).await.unwrap();
            }
        }
    });
    let remote = Reach::plain(&registry).remote();
    let ask = async || remote.stat(&app(&registry), &Digest::of(b"a")).await;
    let attempts = usize::try_from(RETRIES.attempts).unwrap();
    for (answer, expected) in
        [(false, attempts), (false, 1), (false, 1), (true, 1), (false, attempts), (false, 1)]
    {
        answers.store(answer, Ordering::Relaxed);
        let before = count.load(Ordering::Relaxed);
        assert_eq!(ask().await.ok(), answer.then_some(7));
        assert_eq!(count.load(Ordering::Relaxed) - before, expected);
    }
    task.abort();
}
