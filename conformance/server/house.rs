//! A server in this process, and a client that speaks raw HTTP.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use shipperd::content::live::{Live, Served};
use shipperd::content::memory::Memory;
use shipperd::server::tls::Tls;
use shipperd::server::{self, Door, Offers, Options};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server that stops when it is dropped.
pub(super) struct House {
    pub(super) address: SocketAddr,
    pub(super) live: Arc<Live<Memory>>,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<io::Result<()>>>,
}

impl House {
    pub(super) fn open(source: Memory, options: Options) -> Self {
        Self::open_with(source, |it| Door::plain(it, Offers::Everything), options)
    }

    pub(super) fn open_tls(source: Memory, tls: Tls) -> Self {
        let door = |listener| Door::tls(listener, Offers::Everything, tls);
        Self::open_with(source, door, Options::default())
    }

    fn open_with(source: Memory, door: impl FnOnce(TcpListener) -> Door, options: Options) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let live = Arc::new(Live::new(Served { source, bundles: vec![], ambiguous: 0 }));
        let (stop, stopped) = oneshot::channel::<()>();
        let doors = vec![door(listener)];
        let running = runtime.spawn(server::run(doors, Arc::clone(&live), options, async {
            drop(stopped.await);
        }));
        let running = Some(running);
        Self { address, live, runtime: Some(runtime), stop: Some(stop), running }
    }

    pub(super) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Client { stream, ahead: Vec::new() }
    }

    /// One request on a connection of its own.
    pub(super) fn ask(&self, method: &str, target: &str, headers: &str) -> Answer {
        let mut client = self.connect();
        client.send(method, target, headers);
        client.answer(method == "HEAD")
    }

    pub(super) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "")
    }

    /// Tells the server to stop.
    pub(super) fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the server has stopped.
    pub(super) fn wait(&mut self) {
        let running = self.running.take().unwrap();
        self.runtime.as_ref().unwrap().block_on(running).unwrap().unwrap();
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.begin_stop();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    ahead: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
    /// Whether the body has as many bytes as the head said.
    pub(super) is_complete: bool,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| {
            line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
        })?;
        line.split_once(':').map(|(_, value)| value.trim())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub(super) fn send(&mut self, method: &str, target: &str, headers: &str) {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: registry\r\n{headers}\r\n");
        self.stream.write_all(request.as_bytes()).unwrap();
    }

    pub(super) fn answer(&mut self, is_head: bool) -> Answer {
        let head = loop {
            if let Some(end) = self.ahead.windows(4).position(|it| it == b"\r\n\r\n") {
                let rest = self.ahead.split_off(end + 4);
                break std::mem::replace(&mut self.ahead, rest);
            }
            assert!(self.more(), "no answer: {:?}", String::from_utf8_lossy(&self.ahead));
        };
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new(), is_complete: true };
        let length = answer.header("content-length").map_or(0, |it| it.parse().unwrap());
        if !is_head && status != 304 {
            while self.ahead.len() < length && self.more() {}
            answer.is_complete = self.ahead.len() >= length;
            let rest = self.ahead.split_off(length.min(self.ahead.len()));
            answer.body = std::mem::replace(&mut self.ahead, rest);
        }
        answer
    }

    /// Whether the server closed the connection and said nothing more.
    pub(super) fn is_closed(&mut self) -> bool {
        self.ahead.is_empty() && !self.more()
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 64 << 10];
        match self.stream.read(&mut buffer) {
            Ok(read) => {
                self.ahead.extend(buffer.iter().take(read));
                read > 0
            }
            Err(error) => {
                let is_reset = error.kind() == io::ErrorKind::ConnectionReset;
                assert!(is_reset, "the server neither answers nor closes: {error}");
                false
            }
        }
    }
}
