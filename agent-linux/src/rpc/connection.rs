//! What the RPC goes over: TCP, or a Unix socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, Ready};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

use crate::agent::error::words;

/// How long a connection is silent before the system asks whether the client is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A connection of either kind.
#[derive(Debug)]
pub(super) enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The half that is read.
pub(super) trait ReadHalf: AsyncRead + Send + Sync + Unpin {
    /// Waits until there is something to read, or the other side has closed: what of it.
    fn ready(&self) -> Pin<Box<dyn Future<Output = io::Result<Ready>> + Send + '_>>;
}

/// The half that is written.
pub(super) type WriteHalf = Box<dyn AsyncWrite + Send + Sync + Unpin>;

impl Connection {
    /// For an agent's side: nothing waits for more to send, and of a client whose machine has vanished it is known some day.
    pub(super) fn tend(&self) {
        if let Connection::Tcp(stream) = self {
            // Requests and answers are small and someone waits for them.
            let _ = stream.set_nodelay(true);
            // It must not keep its place for ever.
            let _ = SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
        }
    }

    pub(super) fn split(self) -> (Box<dyn ReadHalf>, WriteHalf) {
        match self {
            Connection::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (Box::new(read), Box::new(write))
            }
            Connection::Unix(stream) => {
                let (read, write) = stream.into_split();
                (Box::new(read), Box::new(write))
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Connection::Tcp(stream) => stream.as_fd(),
            Connection::Unix(stream) => stream.as_fd(),
        }
    }
}

impl ReadHalf for tcp::OwnedReadHalf {
    fn ready(&self) -> Pin<Box<dyn Future<Output = io::Result<Ready>> + Send + '_>> {
        Box::pin(self.ready(Interest::READABLE))
    }
}

impl ReadHalf for unix::OwnedReadHalf {
    fn ready(&self) -> Pin<Box<dyn Future<Output = io::Result<Ready>> + Send + '_>> {
        Box::pin(self.ready(Interest::READABLE))
    }
}

/// A client's connection, and what is known of who it is.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) connection: Connection,
    /// For the log.
    pub(super) peer: String,
    /// The system has let it in: no token is asked for.
    pub(super) trusted: bool,
}

impl Accepted {
    pub(super) fn over_tcp(stream: TcpStream, peer: impl ToString) -> Accepted {
        Accepted { connection: Connection::Tcp(stream), peer: peer.to_string(), trusted: false }
    }

    /// Whoever could connect may write to the socket's file, and so is one of those who are to have access.
    pub(super) fn over_socket(stream: UnixStream) -> Accepted {
        let peer = match stream.peer_cred() {
            Ok(who) => format!("user {}, process {}", who.uid(), who.pid().unwrap_or_default()),
            Err(error) => words(&error),
        };
        Accepted { connection: Connection::Unix(stream), peer, trusted: true }
    }
}
