//! Joins: many may be asked for at once, each through many addresses, of which most may be dead.
//!
//! The core tries a few addresses at a time. Each gets a turn, and the joins take turns as well: a good address is not kept
//! waiting by dead ones before it, or by somebody else's. A join ends with whoever has asked for it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serf_nostd::JoinError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant as Wall;

use super::Driver;
use crate::agent::address::AddressError;
use crate::agent::error::{MOST_ADDRESSES, Refusal};
use crate::agent::log::in_one_line;
use crate::agent::seeds::Seed;
use crate::agent::socket::plain;

/// How many addresses the core tries at once.
const SLOTS: usize = 8;

/// How long an address keeps its place while others wait for it.
const TURN: Duration = Duration::from_secs(1);

/// An address that has not answered in so many turns is given up.
const TURNS: u8 = 10;

/// As many, once another address of the same join has answered.
const TURNS_MORE: u8 = 2;

/// From then on a join gives an address up after one turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most addresses that all joins together may name.
const MOST_OF_ALL: usize = 8192;

/// How many names are looked up at once, each of which takes a thread: so many of joins of few addresses, and as many of others,
/// so that nobody waits for a long list that nobody answers.
const LOOKUPS: usize = 8;

/// The most addresses of a join that is quick to look up.
const FEW: usize = 4;

/// How many answered, and the error text if none did.
pub(super) type Reply = oneshot::Sender<Result<usize, Refusal>>;

/// So many addresses of all that may be named at once.
struct Share {
    of: Arc<AtomicUsize>,
    addresses: usize,
}

impl Share {
    fn take(of: &Arc<AtomicUsize>, addresses: usize) -> Option<Share> {
        let taken = of.fetch_add(addresses, Ordering::Relaxed);
        let share = Share { of: of.clone(), addresses };
        (taken + addresses <= MOST_OF_ALL).then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.fetch_sub(self.addresses, Ordering::Relaxed);
    }
}

/// Whom to join, looked up; `errors` tells of those that have no address.
pub(super) struct Resolved {
    share: Share,
    addresses: Vec<SocketAddr>,
    errors: Vec<String>,
    replay: bool,
    reply: Reply,
}

/// A join under way.
struct Joining {
    /// Addresses that have neither answered nor been given up, with the turns that each has had; the next one first.
    open: VecDeque<(SocketAddr, u8)>,
    joined: usize,
    errors: Vec<String>,
    replay: bool,
    began: Wall,
    reply: Reply,
    _share: Share,
}

/// An address that the core tries.
struct Attempt {
    addr: SocketAddr,
    replay: bool,
    until: Wall,
}

impl Joining {
    fn place(&self, addr: SocketAddr) -> Option<usize> {
        self.open.iter().position(|(open, _)| *open == addr)
    }

    fn wants(&self, attempt: &Attempt) -> bool {
        self.replay == attempt.replay && self.place(attempt.addr).is_some()
    }

    /// An address has not answered in its turn: it waits for another one, or is given up.
    fn turn_ended(&mut self, place: usize, now: Wall) {
        let Some((addr, turns)) = self.open.remove(place) else { return };
        let most = if self.joined > 0 { TURNS_MORE } else { TURNS };
        if turns + 1 >= most || now >= self.began + PATIENCE {
            self.errors.push(no_answer(addr));
        } else {
            self.open.push_back((addr, turns + 1));
        }
    }
}

/// All joins.
pub(super) struct Joins {
    running: VecDeque<Joining>,
    attempts: Vec<Attempt>,
    /// For joins of few addresses, and for others.
    lookups: [Arc<Semaphore>; 2],
    /// How many addresses have been named.
    named: Arc<AtomicUsize>,
    /// Where what was looked up comes in.
    resolved: (mpsc::UnboundedSender<Resolved>, mpsc::UnboundedReceiver<Resolved>),
}

impl Joins {
    pub(super) fn new() -> Joins {
        Joins {
            running: VecDeque::new(),
            attempts: Vec::new(),
            lookups: [Arc::new(Semaphore::new(LOOKUPS)), Arc::new(Semaphore::new(LOOKUPS))],
            named: Arc::default(),
            resolved: mpsc::unbounded_channel(),
        }
    }

    /// The next one whose addresses have been looked up. Never ends: its sender is in `self`.
    pub(super) async fn looked_up(&mut self) -> Option<Resolved> {
        self.resolved.1.recv().await
    }

    /// When somebody's turn ends.
    pub(super) fn deadline(&self) -> Option<Wall> {
        self.attempts.iter().map(|attempt| attempt.until).min()
    }

    /// Looks the addresses up, beside the loop.
    pub(super) fn look_up(&self, addresses: Vec<String>, port: u16, replay: bool, mut reply: Reply) {
        // Here and below: whoever asked may have gone.
        if addresses.len() > MOST_ADDRESSES {
            let _ = reply.send(Err(Refusal::TooManyAddresses(addresses.len())));
            return;
        }
        let Some(share) = Share::take(&self.named, addresses.len()) else {
            let _ = reply.send(Err(Refusal::TooManyJoins));
            return;
        };
        log::info!(target: "agent", "joining: [{}] replay: {replay}", in_one_line(&addresses.join(" ")));
        let resolved = self.resolved.0.clone();
        let permits = self.lookups[usize::from(addresses.len() > FEW)].clone();
        tokio::spawn(async move {
            let (addresses, errors) = tokio::select! {
                found = resolve_all(addresses, port, permits) => found,
                () = reply.closed() => return,
            };
            // If the loop has ended, so has the one that asked.
            let _ = resolved.send(Resolved { share, addresses, errors, replay, reply });
        });
    }
}

impl Driver<'_> {
    pub(super) fn begin_join(&mut self, resolved: Resolved) {
        let Resolved { share, mut addresses, mut errors, replay, reply } = resolved;
        let now = Wall::now();
        addresses.retain(|addr| match self.socket.cannot_reach(*addr) {
            Some(why) => {
                errors.push(format!("Failed to join {addr}: {why}"));
                false
            }
            None => true,
        });
        addresses.iter_mut().for_each(|addr| *addr = plain(*addr));
        if std::mem::take(&mut self.awaiting_first_join) {
            let first = &addresses[..addresses.len().min(SLOTS)];
            self.node.start(self.clock.now(), first);
            let until = now + TURN;
            self.joins.attempts.extend(first.iter().map(|addr| Attempt { addr: *addr, replay, until }));
        }
        let open = addresses.into_iter().map(|addr| (addr, 0)).collect();
        let joining = Joining { open, joined: 0, errors, replay, began: now, reply, _share: share };
        self.joins.running.push_back(joining);
        self.advance_joins();
    }

    /// A join was answered, or was not.
    pub(super) fn joined(&mut self, addr: SocketAddr, answered: bool) {
        if answered && self.handlers.specs().iter().any(|spec| spec.once) {
            self.turns.begin();
        }
        self.joins.attempts.retain(|attempt| attempt.addr != addr);
        for joining in &mut self.joins.running {
            let Some(place) = joining.place(addr) else { continue };
            joining.open.remove(place);
            if answered {
                joining.joined += 1;
            } else {
                joining.errors.push(no_answer(addr));
            }
        }
        self.advance_joins();
    }

    /// Somebody at this address belongs to a cluster of another name, and has asked to join this one, or was asked.
    pub(super) fn other_cluster(&mut self, from: SocketAddr, theirs: &str) {
        let called = |name: &str| match name {
            "" => "a cluster without a name".to_owned(),
            name => format!("cluster {name:?}"),
        };
        let ours = called(self.cluster.unwrap_or_default());
        let text = format!("it belongs to {}, this agent to {ours} (-cluster)", called(theirs));
        self.warnings.other_cluster(from, &text);
        let is_asked = |attempt: &Attempt| attempt.addr == from;
        if !self.joins.attempts.iter().any(is_asked) {
            return;
        }
        self.node.cancel_join(from);
        self.joins.attempts.retain(|attempt| !is_asked(attempt));
        for joining in &mut self.joins.running {
            if let Some(place) = joining.place(from) {
                joining.open.remove(place);
                joining.errors.push(format!("Failed to join {from}: {text}"));
            }
        }
        self.advance_joins();
    }

    /// Ends turns, begins others, and answers the joins that are complete.
    pub(super) fn advance_joins(&mut self) {
        self.joins.running.retain(|joining| !joining.reply.is_closed());
        self.end_turns();
        self.begin_turns();
        let complete = |joins: &Joins| joins.running.iter().position(|joining| joining.open.is_empty());
        while let Some(joining) = complete(&self.joins).and_then(|place| self.joins.running.remove(place)) {
            let Joining { joined, errors, reply, .. } = joining;
            let failed = !errors.is_empty();
            let errors = Refusal::NotJoined(errors);
            if failed {
                log::warn!(target: "agent", "error joining: {errors}");
            } else {
                log::info!(target: "agent", "joined: {joined} nodes");
            }
            let _ = reply.send(if failed && joined == 0 { Err(errors) } else { Ok(joined) });
        }
    }

    fn end_turns(&mut self) {
        let now = Wall::now();
        let Joins { running, attempts, .. } = &mut self.joins;
        let mut place = 0;
        while place < attempts.len() {
            let attempt = &mut attempts[place];
            let over = attempt.until <= now;
            if over {
                attempt.until = now + TURN;
                for joining in running.iter_mut().filter(|joining| joining.replay == attempt.replay) {
                    if let Some(place) = joining.place(attempt.addr) {
                        joining.turn_ended(place, now);
                    }
                }
            }
            let wanted = running.iter().any(|joining| joining.wants(attempt));
            // It goes on after its turn if nobody waits for its place.
            let waiting = || running.iter().map(|joining| joining.open.len()).sum::<usize>() > SLOTS;
            if wanted && !(over && waiting()) {
                place += 1;
                continue;
            }
            self.node.cancel_join(attempt.addr);
            attempts.swap_remove(place);
        }
    }

    /// One address of each join, and again, while there is room.
    fn begin_turns(&mut self) {
        let now = self.clock.now();
        let until = Wall::now() + TURN;
        let Joins { running, attempts, .. } = &mut self.joins;
        let mut idle = 0;
        while attempts.len() < SLOTS && idle < running.len() {
            let Some(mut joining) = running.pop_front() else { return };
            let untried =
                |(addr, _): &&(SocketAddr, u8)| attempts.iter().all(|attempt| attempt.addr != *addr);
            let next = joining.open.iter().find(untried).map(|(addr, _)| *addr);
            idle = if next.is_some() { 0 } else { idle + 1 };
            if let Some(addr) = next {
                match self.node.join(now, addr, joining.replay) {
                    Ok(()) => attempts.push(Attempt { addr, replay: joining.replay, until }),
                    Err(JoinError::Busy) => idle = running.len() + 1,
                    Err(error) => {
                        joining.open.clear();
                        joining.errors.push(match error {
                            JoinError::Left => "Serf can't Join after Leave or Shutdown".to_owned(),
                            other => other.to_string(),
                        });
                    }
                }
            }
            running.push_back(joining);
        }
    }
}

fn no_answer(addr: SocketAddr) -> String {
    format!("Failed to join {addr}: no answer")
}

/// All addresses, in the order in which they were named, and what is wrong with the others.
async fn resolve_all(
    texts: Vec<String>,
    port: u16,
    permits: Arc<Semaphore>,
) -> (Vec<SocketAddr>, Vec<String>) {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for some in texts.chunks(LOOKUPS) {
        let mut lookups = JoinSet::new();
        for (place, text) in some.iter().cloned().enumerate() {
            let permits = permits.clone();
            lookups.spawn(async move { (place, resolve(&text, port, permits).await, text) });
        }
        let mut looked_up = lookups.join_all().await;
        looked_up.sort_by_key(|(place, ..)| *place);
        for (_, addresses, text) in looked_up {
            match addresses {
                Ok(addresses) => found.extend(addresses),
                Err(error) => errors.push(format!("Failed to resolve {text}: {error}")),
            }
        }
    }
    (found, errors)
}

async fn resolve(text: &str, port: u16, permits: Arc<Semaphore>) -> Result<Vec<SocketAddr>, AddressError> {
    let seed = Seed::parse(text)?;
    if !seed.needs_lookup() {
        return seed.resolve(port).await;
    }
    // The semaphore is never closed.
    let permit = permits.acquire_owned().await.ok();
    // A look-up goes on in its thread though nobody waits for it any more, and counts until it ends.
    let look_up = tokio::spawn(async move {
        let found = seed.resolve(port).await;
        drop(permit);
        found
    });
    look_up.await.unwrap_or_else(|_| Err(AddressError::NoAnswer(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// However many names of a long list are being looked up, that of a short one is found.
    #[tokio::test]
    async fn a_short_join_is_looked_up_beside_long_ones() {
        let mut joins = Joins::new();
        let held = joins.lookups[1].clone().acquire_many_owned(LOOKUPS as u32).await.unwrap();
        let ask = |joins: &Joins, names: usize| {
            let (reply, answer) = oneshot::channel();
            joins.look_up(vec!["localhost".to_owned(); names], 7946, false, reply);
            answer
        };
        let (_long, _short) = (ask(&joins, FEW + 1), ask(&joins, FEW));
        let limit = Duration::from_secs(60);
        let first = timeout(limit, joins.looked_up()).await.expect("it waits for nobody").unwrap();
        assert_eq!(first.share.addresses, FEW);
        drop(held);
        let second = timeout(limit, joins.looked_up()).await.expect("there is room now").unwrap();
        assert_eq!(second.share.addresses, FEW + 1);
    }
}
