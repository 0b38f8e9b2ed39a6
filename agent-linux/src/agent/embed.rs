//! An agent as a value: started in any process, several of them in one if need be. `serf agent` is one of these with a
//! terminal and signals around it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serf_nostd::{Identity, Key, Node};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::driver::{Advertised, Clock, Driver, End, Parts};
use super::error::StartError;
use super::expression::TAG_MATCHER;
use super::farewell::Farewell;
use super::handle::{Handle, Request};
use super::handler::{self, Handlers, Limits, Spec};
use super::hub::Hub;
use super::interface::{advertised_ip, interface_of};
use super::memory::{DEFAULT_MAX_MEMBERS, ServerMemory};
use super::moves::Chosen;
use super::once;
use super::seeds::known::rejoin;
use super::snapshot::{self, Past, Recalled, Recorder, Snapshot};
use super::socket::Socket;
use super::tags;

/// Requests that wait for the run loop; whoever sends one more waits to send it.
const REQUESTS: usize = 64;

/// How long an agent that is to end has for what waits.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What an agent needs to start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Unique in the cluster, 1 to 128 bytes.
    pub name: String,
    /// Where to listen for gossip; port 0 takes a free one.
    pub bind: SocketAddr,
    /// The interface whose first address `bind` is, if it has been chosen so: when that has another one the agent is bound to it.
    pub interface: Option<String>,
    /// What to tell the others instead of the bound address. If there is nothing, an agent that is bound to every address goes along when
    /// the machine gets another one.
    pub advertise: Option<SocketAddr>,
    /// At most [`tags::TAGS_LIMIT`] bytes encoded.
    pub tags: BTreeMap<String, String>,
    /// Where tags that are set at run time are kept. It is not read here: [`super::tags_file::load`].
    pub tags_file: Option<PathBuf>,
    /// What the fleet's datagrams are sealed with, and what else is opened: the primary key first. Without keys nothing is sealed.
    pub keys: Vec<Key>,
    /// Where keys are kept that are changed at run time. It is not read here: [`super::keyring_file::load`].
    pub keyring_file: Option<PathBuf>,
    /// Where members, clocks and what was handed out are kept over the agent's end; read at the start. After a `kill -9` no event is handed
    /// out twice, and its scripts run that had not begun.
    pub snapshot: Option<PathBuf>,
    /// Whether members are joined again that the agent has left.
    pub rejoin: bool,
    /// The core's timing and limits. The expressions of queries are regular ones, whatever stands here.
    pub core: serf_nostd::Config,
    /// 2 to [`super::memory::MAX_MEMBERS`].
    pub max_members: usize,
    /// Whether it takes part in the space of round trips.
    pub coordinates: bool,
    /// Whether it ends when another node that answers has its name; else the log says so.
    pub yields_name: bool,
    /// A join will be asked for at once: until its first answer, or for 10 s from when its names are looked up, nothing
    /// is stamped or delivered.
    pub awaiting_first_join: bool,
    /// Scripts to run for events.
    pub handlers: Vec<Spec>,
    /// How many of them may wait and run.
    pub limits: Limits,
}

impl Setup {
    /// A node of this name with Serf's LAN timing, and nothing else.
    pub fn new(name: &str, bind: SocketAddr) -> Setup {
        Setup {
            name: name.to_owned(),
            bind,
            interface: None,
            advertise: None,
            tags: BTreeMap::new(),
            tags_file: None,
            keys: Vec::new(),
            keyring_file: None,
            snapshot: None,
            rejoin: false,
            core: serf_nostd::Config::LAN,
            max_members: DEFAULT_MAX_MEMBERS,
            coordinates: true,
            yields_name: true,
            awaiting_first_join: false,
            handlers: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// A running agent. It goes on when this is dropped, until it leaves.
pub struct Agent {
    /// Its door.
    pub handle: Handle,
    /// Its events.
    pub hub: Hub,
    /// Its scripts.
    pub handlers: Handlers,
    /// Where it is bound, with its real port.
    pub bound: SocketAddr,
    /// Where it tells the others to reach it; that may change.
    pub advertised: watch::Receiver<SocketAddr>,
    /// How it ends. Aborting this ends it at once, without a word to the others.
    pub end: JoinHandle<End>,
    /// What is said if the process ends without leaving.
    pub farewell: Farewell,
    recorder: Option<Recorder>,
}

impl Agent {
    /// Starts an agent; must be called within a tokio runtime with time and I/O.
    ///
    /// # Errors
    /// [`StartError`]; its text is what Serf prints behind `Failed to start the Serf agent: `.
    pub async fn start(setup: Setup) -> Result<Agent, StartError> {
        let socket = Socket::bind(setup.bind).map_err(|error| StartError::Bind(setup.bind, error))?;
        let farewell = Farewell::default();
        let bound = socket.bound();
        let advertised = match setup.advertise {
            Some(advertise) => advertise,
            None => {
                let ip = advertised_ip(bound.ip()).map_err(StartError::Advertise)?;
                SocketAddr::new(ip, bound.port())
            }
        };
        let setup = Setup { tags: once::marked(setup.tags, &setup.handlers), ..setup };
        let identity = handler::Identity { name: setup.name.clone(), tags: setup.tags.clone() };
        let handlers = Handlers::new(setup.handlers.clone(), identity, setup.limits);
        let hub = Hub::new();
        let opened = setup.snapshot.as_ref().map(|path| {
            Snapshot::open(path, &setup.name, setup.rejoin)
                .map_err(|error| StartError::Snapshot(path.clone(), error))
        });
        let (recorder, recalled) = match opened.transpose()? {
            None => (None, Recalled::default()),
            Some((snapshot, recalled)) => {
                let recorder = Recorder::start(snapshot, setup.name.clone(), hub.clone(), handlers.clone());
                (Some(recorder), recalled)
            }
        };
        recalled.notes.iter().for_each(|note| log::warn!(target: "serf", "serf: {note}"));
        let (handle, requests) = Handle::new(REQUESTS);
        // Else others reach it where it was told to say, or where they see it.
        let is_own = setup.advertise.is_none() && !setup.core.advertise_observed;
        let (told, shown) = watch::channel(advertised);
        let chosen = match setup.interface.clone() {
            Some(interface) => Some(Chosen::On { interface, bound, is_advertised: is_own }),
            None if bound.ip().is_unspecified() && is_own => {
                Some(Chosen::Of { bound, advertised, interface: interface_of(advertised.ip()) })
            }
            None => None,
        };
        let (ready, started) = oneshot::channel();
        let task = Task {
            setup,
            socket,
            farewell: farewell.clone(),
            advertised: Advertised::new(told, !is_own),
            requests,
            hub: hub.clone(),
            handlers: handlers.clone(),
            recorder: recorder.clone(),
            past: recalled.past,
            returns: !recalled.members.is_empty(),
        };
        let end = tokio::spawn(task.run(ready));
        match started.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(StartError::Ended),
        }
        if let Some(recorder) = &recorder {
            for (id, event, begun) in recalled.due {
                recorder.resume(id, Arc::new(event), begun);
            }
        }
        if !recalled.members.is_empty() {
            tokio::spawn(rejoin(handle.weak(), recalled.members));
        }
        if let Some(chosen) = chosen {
            tokio::spawn(chosen.follow(handle.weak()));
        }
        Ok(Agent { handle, hub, handlers, bound, advertised: shown, end, farewell, recorder })
    }

    /// Ends the agent. If it has not left, some members are told that it ends, and soon all find it failed. What waits for later values is handed out; what its snapshot is to
    /// know is on the disk when this returns. Scripts that have not begun are run by its next life.
    pub async fn close(&mut self) {
        // It may have ended, or hang.
        let _ = timeout(LAST_WORDS, self.handle.hand_out()).await;
        self.end.abort();
        // From now on it answers nobody.
        if !self.end.is_finished() {
            let _ = (&mut self.end).await;
        }
        self.farewell.say();
        if let Some(recorder) = &self.recorder {
            recorder.close().await;
        }
    }
}

/// Says what is wrong with a setup, as far as that is seen without starting an agent.
///
/// # Errors
/// As [`Agent::start`].
pub fn check(setup: &Setup) -> Result<(), StartError> {
    let least = 2;
    let mut memory = ServerMemory::new(least).map_err(|_| StartError::Memory(least))?;
    let identity = Identity {
        name: &setup.name,
        addr: setup.advertise.unwrap_or(setup.bind),
        boot: 1,
        instance: 0,
        tags: &tags::encode(&once::marked(setup.tags.clone(), &setup.handlers)),
        versions: Identity::VERSIONS,
    };
    let node = Node::new(memory.lend(), setup.core.clone(), identity, 0, Clock::start().now());
    node.map_err(StartError::Node)?;
    match &setup.snapshot {
        Some(path) => snapshot::check(path).map_err(|error| StartError::Snapshot(path.clone(), error)),
        None => Ok(()),
    }
}

/// What the run loop's task owns.
struct Task {
    setup: Setup,
    socket: Socket,
    farewell: Farewell,
    advertised: Advertised,
    requests: mpsc::Receiver<Request>,
    hub: Hub,
    handlers: Handlers,
    recorder: Option<Recorder>,
    /// What is known of its former life.
    past: Past,
    /// Members of that life are about to be joined.
    returns: bool,
}

impl Task {
    async fn run(self, ready: oneshot::Sender<Result<(), StartError>>) -> End {
        let Task { setup, socket, farewell, advertised, requests, hub, handlers, recorder, past, returns } =
            self;
        let members = setup.max_members;
        let Ok(mut memory) = ServerMemory::new(members) else {
            let _ = ready.send(Err(StartError::Memory(members)));
            return End::Abandoned;
        };
        let boot = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // Milliseconds below 2^46 last until the year 4199.
        let boot = boot.as_millis() as u64;
        // The standard library's hash keys are random for each process, and differ with each use.
        let instance = RandomState::new().hash_one(boot) as u16;
        let identity = Identity {
            name: &setup.name,
            addr: advertised.address(),
            boot,
            instance,
            tags: &tags::encode(&setup.tags),
            versions: Identity::VERSIONS,
        };
        let seed = RandomState::new().hash_one(boot);
        let clock = Clock::start();
        let core = serf_nostd::Config { tag_matcher: TAG_MATCHER, ..setup.core };
        let mut memory = memory.lend();
        if !setup.coordinates {
            memory.coordinates = &mut [];
        }
        let mut node = match Node::new(memory, core, identity, seed, clock.now()) {
            Ok(node) => node,
            Err(error) => {
                let _ = ready.send(Err(StartError::Node(error)));
                return End::Abandoned;
            }
        };
        for key in &setup.keys {
            if let Err(error) = node.install_key(key) {
                let _ = ready.send(Err(StartError::Keys(error)));
                return End::Abandoned;
            }
        }
        if recorder.is_some() {
            node.recall(clock.now(), &past.lend());
        }
        // If nobody waits, the requests have no sender either, and the loop ends at once.
        let _ = ready.send(Ok(()));
        let parts = Parts {
            node,
            clock,
            socket: Arc::new(socket),
            farewell,
            advertised,
            requests,
            hub,
            handlers,
            awaiting_first_join: setup.awaiting_first_join || returns,
            cluster: setup.core.cluster,
            yields_name: setup.yields_name,
            tags_file: setup.tags_file,
            keyring_file: setup.keyring_file,
            recorder,
        };
        Driver::new(parts).run().await
    }
}
