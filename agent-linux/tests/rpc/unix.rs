//! A socket in the file system: the system says who may come, and nobody is asked for a token.

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_linux::agent::model::Event;
use agent_linux::rpc::address::Place;
use agent_linux::rpc::client::{Client, Config, Error, Record};
use agent_linux::rpc::listener::Listener;
use agent_linux::rpc::server::Options;
use agent_linux::rpc::token::Token;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::fake::*;

/// A folder of its own, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("serf-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn bind(path: &Path) -> Result<Listener, String> {
    Listener::bind(&Place::Unix(path.to_owned())).await
}

async fn serving(path: &Path, options: Options) -> Fake {
    Fake::serving(bind(path).await.unwrap(), ([127, 0, 0, 1], 0).into(), options)
}

async fn connect(path: &Path, auth: &str) -> Result<Client, Error> {
    let config = Config { auth: auth.to_owned(), ..Config::default() };
    Client::connect(&format!("unix:{}", path.display()), config).await
}

#[tokio::test]
async fn all_can_be_asked_without_a_token_and_any_token_is_right() {
    let folder = Folder::new("unix-asked");
    let path = folder.file("rpc.sock");
    let fake = serving(&path, Options { auth: Token::new("secret"), ..Options::default() }).await;
    for auth in ["", "secret", "another"] {
        let client = connect(&path, auth).await.unwrap();
        client.event(b"deploy", auth.as_bytes(), true).await.unwrap();
        assert_eq!(client.members().await.unwrap().len(), 3);
    }
    assert_eq!(fake.done(), ["event deploy  true", "event deploy secret true", "event deploy another true"]);
    let client = connect(&path, "").await.unwrap();
    let mut events = client.stream("user:deploy").await.unwrap();
    let (name, payload) = (b"deploy".to_vec(), b"1".to_vec());
    fake.hub.publish(Arc::new(Event::User { ltime: 7, name, payload, coalesce: true }));
    let received = events.next().await.unwrap().expect("a record");
    assert!(matches!(received.record, Record::User(event) if event.ltime == 7));
}

#[tokio::test]
async fn what_is_bounded_over_tcp_is_bounded_here() {
    let folder = Folder::new("unix-bounds");
    let path = folder.file("rpc.sock");
    let _fake = serving(&path, Options { connections: 1, ..Options::default() }).await;
    let first = connect(&path, "").await.unwrap();
    let too_many = connect(&path, "").await.unwrap_err();
    assert_eq!(too_many, Error::Refused("Too many RPC connections".to_owned()));
    first.event(&[b'x'; 300 << 10], b"", true).await.unwrap_err();
}

/// Its place is the only one, and is not taken from who is being served.
#[tokio::test]
async fn a_client_that_hangs_up_gives_its_place_back() {
    let folder = Folder::new("unix-hangs-up");
    let path = folder.file("rpc.sock");
    let _fake = serving(&path, Options { connections: 1, ..Options::default() }).await;
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(&request("handshake", 1, &body([("Version", 1)]))).await.unwrap();
    client.read_u8().await.expect("it is admitted");
    client.write_all(&request("event", 2, &body([("Name", "wait")]))).await.unwrap();
    assert!(connect(&path, "").await.is_err(), "it has the place");
    drop(client);
    timeout(PATIENCE, async { while connect(&path, "").await.is_err() {} }).await.expect("a place");
}

#[tokio::test]
async fn the_place_of_a_dead_agent_is_taken_and_nothing_else() {
    let folder = Folder::new("unix-place");
    let path = folder.file("rpc.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "nobody listens there");
    let living = bind(&path).await.unwrap();
    let refused = bind(&path).await.unwrap_err();
    assert!(refused.contains("an agent answers there; stop it, or give another -rpc-addr"), "{refused}");
    drop(living);
    assert!(!path.exists(), "it has gone with its listener");

    fs::write(&path, "somebody's").unwrap();
    let refused = bind(&path).await.unwrap_err();
    assert!(refused.contains("what is there is no socket: remove it"), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");
    let _others = UnixDatagram::bind(folder.file("other")).unwrap();
    assert!(bind(&folder.file("other")).await.is_err());
    assert!(folder.file("other").exists());
    let gone = bind(&folder.file("none/rpc.sock")).await.unwrap_err();
    assert_eq!(gone, "bind: its folder is not there: make it first");
}

#[tokio::test]
async fn who_ends_takes_only_its_own_socket_away() {
    let folder = Folder::new("unix-own");
    let path = folder.file("rpc.sock");
    let first = bind(&path).await.unwrap();
    fs::rename(&path, folder.file("elsewhere")).unwrap();
    let _second = bind(&path).await.unwrap();
    drop(first);
    assert!(path.exists());
}
