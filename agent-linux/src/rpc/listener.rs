//! Where an agent waits for clients: a port, or a socket in the file system.
//!
//! A socket's file has the mode 0660 before anybody can connect, so that who may is its owner, its group (that of the agent, or
//! of the folder if that is setgid) and root. What a dead agent has left there is replaced, and nothing else is.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::address::Place;
use super::connection::Accepted;
use crate::agent::address::bind_error;
use crate::agent::error::words;

/// Its owner and its group, for connecting needs the right to write.
const MODE: u32 = 0o660;

/// Clients that may wait to be accepted, as with tokio's own listeners.
const BACKLOG: i32 = 1024;

/// Accepts clients until it is dropped, which removes its socket's file.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    /// The file goes before the socket is closed: until then no other file has its number.
    Unix {
        _file: SocketFile,
        listener: UnixListener,
    },
}

impl Listener {
    /// Listens at `place`. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// What the system says, or what is in the way.
    pub async fn bind(place: &Place) -> Result<Listener, String> {
        match place {
            Place::Tcp(address) => {
                let listener = TcpListener::bind(address).await.map_err(|error| bind_error(&error))?;
                Ok(listener.into())
            }
            Place::Unix(path) => {
                make_way(path).await?;
                listen(path).map(Listener).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => "bind: its folder is not there: make it first".to_owned(),
                    _ => bind_error(&error),
                })
            }
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match &self.0 {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted::over_tcp(stream, peer))
            }
            Kind::Unix { listener, .. } => Ok(Accepted::over_socket(listener.accept().await?.0)),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Listener {
        Listener(Kind::Tcp(listener))
    }
}

/// Removes the socket of an agent that is no more.
async fn make_way(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => {}
        Ok(_) => {
            return Err("bind: what is there is no socket: remove it, or give another -rpc-addr".to_owned());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(bind_error(&error)),
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| format!("remove: {}", words(&error)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err("bind: address already in use, perhaps by another user's agent: give another -rpc-addr"
                .to_owned())
        }
        // Or it is too busy to say so.
        _ => Err("bind: address already in use: an agent answers there; stop it, or give another -rpc-addr"
            .to_owned()),
    }
}

/// A socket with its rights, to which nobody can connect yet, whatever rights the umask had left it: it does not listen.
fn bind_socket(path: &Path) -> io::Result<(SocketFile, Socket)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok((file, socket))
}

fn listen(path: &Path) -> io::Result<Kind> {
    let (file, socket) = bind_socket(path)?;
    socket.listen(BACKLOG)?;
    Ok(Kind::Unix { _file: file, listener: UnixListener::from_std(socket.into())? })
}

/// The file of a socket, removed when dropped, unless it has become another one.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and number.
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // The next agent removes what is left here.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn nobody_can_connect_before_others_are_kept_out() {
        let path = std::env::temp_dir().join(format!("serf-bind-{}", std::process::id()));
        let (file, socket) = bind_socket(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o660);
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        socket.listen(BACKLOG).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(!path.exists());
    }
}
