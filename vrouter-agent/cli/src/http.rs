//! HTTP/1.1 over a unix socket: one request, one answer, connection closed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest head of an answer, and longest line of a chunk.
const HEAD: u64 = 64 << 10;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200, 404 ...
    pub status: u16,
    /// As it came.
    pub body: Vec<u8>,
}

/// Sends a request and reads the answer.
///
/// # Errors
/// Those of the socket; `TimedOut` if the daemon is silent for `timeout`, `InvalidData` if it speaks no HTTP.
pub fn request(
    socket: &Path,
    method: &str,
    target: &str,
    body: Option<&str>,
    timeout: Duration,
) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let mut head = format!(
        "{method} {target} HTTP/1.1\r\nHost: vrouter\r\nConnection: close\r\nAccept: application/json, text/plain\r\n"
    );
    if let Some(body) = body {
        head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    head += "\r\n";
    head += body.unwrap_or_default();
    // A daemon that refuses may answer and close before it has read all: then the answer counts.
    let sent = stream.write_all(head.as_bytes());
    let answer = read_answer(&mut BufReader::new(stream)).map_err(silence);
    match (sent, answer) {
        (_, Ok(answer)) => Ok(answer),
        (Err(error), Err(_)) => Err(silence(error)),
        (Ok(()), Err(error)) => Err(error),
    }
}

/// A timeout of a socket comes as "would block".
fn silence(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.take(HEAD).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(invalid("the answer ends within its head"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| invalid("the head of the answer is not text"))
}

enum Length {
    Known(u64),
    Chunked,
    UntilClose,
}

fn read_answer(from: &mut impl BufRead) -> io::Result<Answer> {
    loop {
        let (status, length) = read_head(from)?;
        // 1xx only announces the answer (RFC 9110 15.2).
        if (100..200).contains(&status) {
            continue;
        }
        let mut body = Vec::new();
        match length {
            _ if matches!(status, 204 | 304) => {}
            Length::Known(length) => read_exactly(from, length, &mut body)?,
            Length::Chunked => read_chunks(from, &mut body)?,
            Length::UntilClose => {
                from.read_to_end(&mut body)?;
            }
        }
        return Ok(Answer { status, body });
    }
}

fn read_head(from: &mut impl BufRead) -> io::Result<(u16, Length)> {
    let start = line(from)?;
    let mut words = start.split(' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().filter(|s| s.len() == 3).and_then(|s| s.parse().ok());
    let status = status
        .filter(|_| version.starts_with("HTTP/1."))
        .ok_or_else(|| invalid("the answer is not HTTP/1.1"))?;
    let mut length = Length::UntilClose;
    let mut total = start.len();
    loop {
        let header = line(from)?;
        if header.is_empty() {
            return Ok((status, length));
        }
        total += header.len();
        if total as u64 > HEAD {
            return Err(invalid("the head of the answer is too long"));
        }
        let (name, value) = header.split_once(':').ok_or_else(|| invalid("not an HTTP header"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            length = Length::Chunked;
        } else if name.eq_ignore_ascii_case("content-length") && !matches!(length, Length::Chunked)
        {
            let bytes = value.parse().map_err(|_| invalid("not a Content-Length"))?;
            length = Length::Known(bytes);
        }
    }
}

fn read_exactly(from: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    let read = from.take(length).read_to_end(body)?;
    if read as u64 == length { Ok(()) } else { Err(invalid("the answer is cut off")) }
}

/// RFC 9112 section 7.1.
fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let size = line(from)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| invalid("not the size of a chunk"))?;
        if size == 0 {
            while !line(from)?.is_empty() {}
            return Ok(());
        }
        read_exactly(from, size, body)?;
        if !line(from)?.is_empty() {
            return Err(invalid("a chunk is longer than it says"));
        }
    }
}

/// A value for a query: everything but the unreserved characters is escaped (RFC 3986 section 2).
pub fn escaped(value: &str) -> String {
    value
        .bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str) -> Result<(u16, String), String> {
        read_answer(&mut bytes.as_bytes())
            .map(|a| (a.status, String::from_utf8_lossy(&a.body).into_owned()))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn answers_of_every_kind() {
        for (bytes, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]rest", "[]"),
            ("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", ""),
            ("HTTP/1.1 200 OK\r\n\r\n[1]", "[1]"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\nA;x=y\r\n,234567890\r\n0\r\nT: 1\r\n\r\n",
                "[1,234567890",
            ),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
            ("HTTP/1.0 200 OK\nContent-Length: 1\n\nx", "x"),
        ] {
            assert_eq!(read(bytes), Ok((200, body.to_owned())), "{bytes:?}");
        }
        assert_eq!(
            read("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
            Ok((204, String::new()))
        );
    }

    #[test]
    fn what_is_no_answer() {
        for bytes in [
            "",
            "SSH-2.0\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 20x OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[]",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[]\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(1 << 20));
        assert!(read(&endless).is_err());
    }

    #[test]
    fn queries_are_escaped() {
        assert_eq!(escaped("a b&c=ä/1"), "a%20b%26c%3D%C3%A4%2F1");
    }
}
