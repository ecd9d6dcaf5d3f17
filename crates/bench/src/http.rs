//! How are programs spoken to? By the least HTTP/1.1 that does it, so that the client costs next to nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use causeway_model::{Error, Result};

/// No answer takes longer; a program that needs it is reported as failed.
const TIMEOUT: Duration = Duration::from_secs(120);
/// No answer is larger: the largest question asks for a few thousand records.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// No header line is longer.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// No response has more header lines.
const HEADERS_MAX: usize = 100;

/// A connection that is kept.
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
}

/// What came back.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub retry_after_s: Option<u64>,
    pub body: Vec<u8>,
}

impl Response {
    /// The body, if all went well.
    pub fn success(self) -> Result<Vec<u8>> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let text = String::from_utf8_lossy(&self.body);
        let start: String = text.chars().take(300).collect();
        Err(Error::unavailable(format!("status {}: {start}", self.status)))
    }
}

impl Connection {
    /// Connects.
    pub fn open(host: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&host, TIMEOUT).map_err(network)?;
        stream.set_nodelay(true).map_err(network)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(network)?;
        stream.set_write_timeout(Some(TIMEOUT)).map_err(network)?;
        Ok(Self { stream: BufReader::new(stream), host })
    }

    /// Sends a request and waits for the answer. The headers are lines, the last without its end.
    pub fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Response> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes()).map_err(network)?;
        stream.write_all(body).map_err(network)?;
        self.response()
    }

    fn response(&mut self) -> Result<Response> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| Error::invalid("the program does not answer in HTTP"))?;
        let (mut length, mut chunked, mut retry_after_s) = (None, false, None);
        for _ in 0..HEADERS_MAX {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse::<usize>().ok(),
                "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
                "retry-after" => retry_after_s = value.trim().parse().ok(),
                _ => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                    .map_err(|_| Error::invalid("the program sends broken chunks"))?;
                self.read(size, &mut body)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else if status != 204 {
            self.read(length.unwrap_or_default(), &mut body)?;
        }
        Ok(Response { status, retry_after_s, body })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = (&mut self.stream).take(LINE_BYTES_MAX).read_line(&mut line).map_err(network)?;
        if read == 0 {
            return Err(Error::unavailable("the program closed the connection"));
        }
        Ok(line.trim_end().to_owned())
    }

    fn read(&mut self, bytes: usize, body: &mut Vec<u8>) -> Result<()> {
        let start = body.len();
        let end = start.saturating_add(bytes);
        if end > ANSWER_BYTES_MAX {
            return Err(Error::invalid(format!("an answer of over {ANSWER_BYTES_MAX} bytes")));
        }
        body.resize(end, 0);
        self.stream.read_exact(&mut body[start..]).map_err(network)
    }
}

/// One request on a connection of its own.
pub fn once(host: SocketAddr, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Response> {
    Connection::open(host)?.request(method, path, &format!("Content-Type: {content_type}"), body)
}

/// Text as it may stand in a URL or a form.
pub fn url_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => (byte as char).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn network(error: std::io::Error) -> Error {
    Error::unavailable(format!("network: {error}"))
}
