//! HTTP/1.1 byte by byte: sends what no client library would, believes nothing it reads.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// How long a server may take to send the next bytes.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection to a server.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Connection {
    pub fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends bytes as they are; the server may have hung up already.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref())
    }

    /// Sends a request with a `Host` and these header lines.
    pub fn request(&mut self, method: &str, target: &str, headers: &[&str]) -> io::Result<()> {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: registry.test\r\n{lines}\r\n"))
    }

    /// Reads an answer to a request that was not HEAD.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.head()?;
        let bodiless = answer.status < 200 || matches!(answer.status, 204 | 304);
        match answer.header("content-length").filter(|_| !bodiless) {
            _ if bodiless => {}
            Some(length) => {
                let length: usize = length.parse().map_err(io::Error::other)?;
                answer.body.resize(length, 0);
                self.0.read_exact(&mut answer.body)?;
            }
            None if answer.header("transfer-encoding").is_some() => {
                return Err(io::Error::other("an answer without a length"));
            }
            None => {
                self.0.read_to_end(&mut answer.body)?;
            }
        }
        Ok(answer)
    }

    /// Reads the status line and the headers; the body, if any, is left to be read.
    pub fn head(&mut self) -> io::Result<Answer> {
        let status = self.line()?;
        let (version, rest) = status.split_once(' ').unwrap_or_default();
        if !version.starts_with("HTTP/1.") {
            return Err(io::Error::other(format!("not an answer: {status:?}")));
        }
        let status = rest.get(..3).unwrap_or_default().parse().map_err(io::Error::other)?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Answer { status, headers, body: Vec::new() });
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads at most `limit` bytes until the server hangs up; how many there were.
    pub fn drain(&mut self, limit: u64) -> io::Result<u64> {
        io::copy(&mut self.0.by_ref().take(limit), &mut io::sink())
    }

    /// Reads so many bytes of a body.
    pub fn read_exactly(&mut self, length: usize, body: &mut Vec<u8>) -> io::Result<()> {
        body.resize(length, 0);
        self.0.read_exact(body)
    }

    /// The socket below, to be tampered with.
    pub fn socket(&self) -> &TcpStream {
        self.0.get_ref()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.by_ref().take(64 << 10).read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Answer {
    /// The value of a header that must not come twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice: {:?}", self.headers);
        value
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// Sends one request on a connection of its own and reads the answer.
pub fn ask(address: &str, method: &str, target: &str, headers: &[&str]) -> Answer {
    let mut connection = Connection::open(address);
    let mut headers = headers.to_vec();
    headers.push("Connection: close");
    connection.request(method, target, &headers).unwrap();
    let answer = match method {
        "HEAD" => connection.head(),
        _ => connection.answer(),
    };
    let answer = answer.unwrap_or_else(|error| panic!("{method} {target}: {error}"));
    let more = connection.drain(1);
    assert!(!matches!(more, Ok(1)), "{method} {target}: bytes after the answer");
    answer
}

/// Sends GET.
pub fn get(address: &str, target: &str) -> Answer {
    ask(address, "GET", target, &[])
}
