//! A client of HTTP, just large enough for the tests.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::DEADLINE;

/// What a server has answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its number.
    pub status: u16,
    /// Its headers, as they came.
    pub head: String,
    /// What follows them.
    pub body: String,
}

/// Asks once.
///
/// # Errors
/// Nobody listens, or answers.
pub fn ask(server: SocketAddr, method: &str, path: &str, headers: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    // In this version answers come in one piece, up to the connection's end.
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {server}\r\n{headers}\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|number| number.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// GET.
///
/// # Panics
/// If nobody answers.
#[track_caller]
pub fn get(server: SocketAddr, path: &str) -> Answer {
    ask(server, "GET", path, "").unwrap_or_else(|error| panic!("GET {path} of {server}: {error}"))
}
