//! One HTTP/1.1 connection with one request at a time, with as little work per order as possible.
//!
//! The load generator shares its machine with the system that it measures, so each microsecond
//! spent here is missing there. The connection understands how HTTP/1.1 servers answer (a length,
//! or chunks), and reads no more of a body than it needs.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

/// An answer, as far as load looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// The id of what was made, from `Location`, or of what is shown first.
    pub(super) id: Option<Uuid>,
    /// The code of a problem.
    pub(super) code: Option<String>,
    /// Whether the server closes the connection after this answer.
    pub(super) closes: bool,
}

/// A connection that is opened when needed, and again when it has been closed.
#[derive(Debug)]
pub(super) struct Connection {
    address: String,
    token: String,
    stream: Option<TcpStream>,
    read: Vec<u8>,
    used: Instant,
}

/// How long an answer may take: accepting an order is quicker, so a silent server has lost the
/// request.
const PATIENCE: Duration = Duration::from_secs(15);
/// After this long an idle connection is checked before its use: the server may have closed it.
const IDLE: Duration = Duration::from_millis(500);

impl Connection {
    /// A connection to `host:port`, which is not opened yet.
    pub(super) fn to(address: &str) -> Self {
        let (address, read) = (address.to_owned(), Vec::with_capacity(4096));
        Self { address, token: String::new(), stream: None, read, used: Instant::now() }
    }

    /// This connection, with requests that carry `token`.
    pub(super) fn with_token(self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self }
    }

    /// Sends a request, with the order's id as its idempotency key, until it is answered by more
    /// than a failure that passes; `None` when it was not for long.
    pub(super) async fn insist(&mut self, line: &str, order: Uuid, body: &str) -> Option<Reply> {
        const TRIES: u32 = 20;
        let mut bytes = Vec::new();
        let token = &self.token;
        let line =
            format!("{line} HTTP/1.1\r\nauthorization: Bearer {token}\r\nidempotency-key: {order}");
        request(&mut bytes, &line, &self.address, body);
        for tried in 0..TRIES {
            if let Ok(reply) = self.send(&bytes).await
                && reply.status < 500
                && reply.status != 429
            {
                return Some(reply);
            }
            tokio::time::sleep(Duration::from_millis(u64::from(50 * (tried + 1)))).await;
        }
        None
    }

    /// Sends a whole request and reads the whole answer. After an error it is unknown what became
    /// of the request.
    pub(super) async fn send(&mut self, request: &[u8]) -> io::Result<Reply> {
        let sent = tokio::time::timeout(PATIENCE, self.exchange(request)).await;
        let reply = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if !matches!(reply, Ok(Reply { closes: false, .. })) {
            self.stream = None;
        }
        self.used = Instant::now();
        reply
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Reply> {
        if self.used.elapsed() > IDLE && self.stream.as_ref().is_some_and(has_ended) {
            self.stream = None;
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(&self.address).await?;
                stream.set_nodelay(true)?;
                none.insert(stream)
            }
        };
        self.read.clear();
        stream.write_all(request).await?;
        loop {
            if stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(reply) = parse(&self.read)? {
                return Ok(reply);
            }
        }
    }
}

/// Whether the server has closed the connection while it was idle.
fn has_ended(stream: &TcpStream) -> bool {
    !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// A request with a JSON body, or with none; `line` is its first line, perhaps with headers.
pub(super) fn request(out: &mut Vec<u8>, line: &str, host: &str, body: &str) {
    use std::io::Write as _;
    out.clear();
    let written = if body.is_empty() {
        write!(out, "{line}\r\nhost: {host}\r\n\r\n")
    } else {
        write!(
            out,
            "{line}\r\nhost: {host}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    written.expect("a vector takes every byte");
}

/// The answer, if all of it has been read.
fn parse(read: &[u8]) -> io::Result<Option<Reply>> {
    let Some(end) = find(read, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&read[..end]).map_err(|_| malformed())?;
    let body = &read[end + 4..];
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status: u16 = first.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
    let mut reply = Reply { status, id: None, code: None, closes: first.starts_with("HTTP/1.0") };
    let mut length = None;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(malformed)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().map_err(|_| malformed())?);
        } else if name.eq_ignore_ascii_case("location") {
            let id = value.rsplit('/').next().unwrap_or_default();
            reply.id = Uuid::try_parse(id).ok();
        } else if name.eq_ignore_ascii_case("connection") {
            reply.closes |= value.eq_ignore_ascii_case("close");
        }
    }
    let whole = match length {
        Some(length) => body.len() >= length,
        None => matches!(status, 204 | 304) || body.ends_with(b"0\r\n\r\n"),
    };
    if status >= 400 {
        reply.code = text_of(body, "\"code\":\"");
    } else if reply.id.is_none() {
        reply.id = text_of(body, "\"id\":\"").and_then(|id| Uuid::try_parse(&id).ok());
    }
    Ok(whole.then_some(reply))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1.1")
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The text between `mark` and the next quote.
fn text_of(body: &[u8], mark: &str) -> Option<String> {
    let rest = &body[find(body, mark.as_bytes())? + mark.len()..];
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n\
        Location: /v1/orders/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f\r\ncontent-length: 12\r\n\r\n{\"id\":\"019\"}";

    #[test]
    fn an_answer_is_read_when_all_of_it_is_here() {
        for cut in 0..CREATED.len() {
            assert_eq!(parse(&CREATED.as_bytes()[..cut]).unwrap(), None, "{cut}");
        }
        let reply = parse(CREATED.as_bytes()).unwrap().unwrap();
        assert_eq!(reply.status, 201);
        assert_eq!(reply.id.unwrap().to_string(), "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f");
        assert!(!reply.closes);
    }

    #[test]
    fn chunks_and_problems_are_understood() {
        let problem = "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\
            Connection: close\r\n\r\n19\r\n{\"code\":\"overloaded\",\"a\":1}\r\n0\r\n\r\n";
        let reply = parse(problem.as_bytes()).unwrap().unwrap();
        assert_eq!(reply.status, 503);
        assert_eq!(reply.code.as_deref(), Some("overloaded"));
        assert!(reply.closes);
        assert_eq!(parse(&problem.as_bytes()[..problem.len() - 5]).unwrap(), None);
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: much\r\n\r\n").is_err());
    }

    #[test]
    fn a_request_counts_its_body() {
        let mut out = Vec::new();
        request(&mut out, "POST /v1/orders HTTP/1.1", "h:1", "{}");
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("POST /v1/orders HTTP/1.1\r\nhost: h:1\r\n"));
        assert!(text.ends_with("content-length: 2\r\n\r\n{}"));
    }
}
