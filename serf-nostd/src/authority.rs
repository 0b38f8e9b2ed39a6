//! Which events and queries are only operators', and the signatures that show that they are theirs.
//!
//! 1. Whoever fires such an event, or asks such a query, has a node reserve an identity for it ([`crate::Node::reserve_event`],
//!    [`crate::Node::reserve_query`]).
//! 2. The operator signs what is to go out under that identity ([`Statement`]); the private key need not be where the node is.
//! 3. The node fires it with the signature ([`crate::Node::signed_event`], [`crate::Ask::signed`]), which travels in front of the filters.
//! 4. Every node that knows the operators checks it before it records it, hands it out or passes it on.
//!
//! Orders about keys are queries, of whose payload the key is signed, and not how it is encrypted on its way.
//!
//! An identity is taken once, whatever clocks say, so what is recorded cannot be fired again. Identities of what is signed are marked
//! ([`SIGNED`]): nothing that is unsigned can take one.

#[cfg(feature = "authority")]
pub(crate) mod signing;

use core::fmt;
use core::ops::Range;

use heapless::Vec;

use crate::filter::FILTERS_MAX;
use crate::time::{Duration, Instant};
use crate::wire::message::{Address, EventId, Query, query_flag};
use crate::wire::seal::{Seal, WRAPPED_KEY};

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its public key, Ed25519; see [`is_public_key`](crate::is_public_key).
    pub key: [u8; 32],
    /// What it may do, and nobody else: names, each whole or its beginning and a `*`. Of events as they are; of queries behind `query:`;
    /// orders about keys are `keys:install`, `keys:use` and `keys:remove`, together `keys:*`. Other names that begin with `_serf_`, by which
    /// nodes talk among themselves, nothing covers: nobody could sign them.
    pub patterns: &'static [&'static str],
}

/// What patterns of queries begin with, and those of orders about keys.
const QUERY: &[u8] = b"query:";
const KEYS: &[u8] = b"keys:";

/// What the names of nodes' own events and queries begin with.
const INTERNAL: &[u8] = b"_serf_";

/// What a query orders about keys, if it does so. The one that lists them is none: whoever can read the fleet knows its keys.
fn key_order(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(INTERNAL)?.strip_suffix(b"-key")
}

/// Whether a pattern without its class covers this name.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_last() {
        _ if name.starts_with(INTERNAL) => false,
        Some((b'*', beginning)) => name.starts_with(beginning),
        _ => name == pattern,
    }
}

impl Operator {
    fn covers(&self, stated: Stated, name: &[u8]) -> bool {
        let is_query = matches!(stated, Stated::Query { .. });
        self.patterns.iter().map(|pattern| pattern.as_bytes()).any(|pattern| {
            if let Some(pattern) = pattern.strip_prefix(QUERY) {
                is_query && matches(pattern, name)
            } else if let Some(pattern) = pattern.strip_prefix(KEYS) {
                is_query && key_order(name).is_some_and(|order| matches(pattern, order))
            } else {
                !is_query && matches(pattern, name)
            }
        })
    }
}

/// Whether this public key has signed this statement.
type Verify = fn(&[u8; 32], &Statement<'_>, &[u8; 64]) -> bool;

/// The operators whom a node knows, and how it checks their signatures. See [`crate::Config::authority`].
#[derive(Clone, Copy)]
pub struct Authority {
    operators: &'static [Operator],
    verify: Verify,
    /// Signatures checked in a second, at most.
    rate: u16,
    /// Unix time, in seconds, of [`Instant::ZERO`]; 0: unknown.
    epoch: u64,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("operators", &self.operators).field("rate", &self.rate).finish()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Authority {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Authority");
    }
}

/// How old a signature may be where the time is known.
const LIFETIME: u64 = 24 * 3600;

/// By how much operators' clocks may be behind, in seconds.
const SKEW: u64 = 60;

/// The same, where a node has just begun.
const SKEW_AT_START: u64 = 5;

/// Signatures that may be checked at once, at least.
const BURST: u32 = 4;

impl Authority {
    /// Everybody may fire everything, and no signature is checked.
    pub const NONE: Authority = Authority { operators: &[], verify: |_, _, _| true, rate: 0, epoch: 0 };

    /// These operators; at most so many signatures are checked in a second (a device 2, a server 500), and four or as many at once. What is more
    /// is offered again by others.
    #[cfg(feature = "authority")]
    pub const fn new(operators: &'static [Operator], rate: u16) -> Authority {
        Authority { operators, verify: signing::verify, rate, epoch: 0 }
    }

    /// The same where the time is known: what was signed more than 24 hours before or after it is refused; and by a node that wants nothing of
    /// before its first join ([`crate::Config::replay`], no `event_floor`) also what was signed five seconds before it began. `epoch`: Unix
    /// time, in seconds, of [`Instant::ZERO`].
    #[cfg(feature = "authority")]
    pub const fn since(self, epoch: u64) -> Authority {
        Authority { epoch, ..self }
    }

    /// The same, with what another one knows of the time.
    #[cfg(feature = "authority")]
    pub(crate) fn at_the_time_of(self, other: &Authority) -> Authority {
        Authority { epoch: other.epoch, ..self }
    }

    /// Whether only an operator may fire events, or ask queries, of this name.
    pub fn protects(&self, stated: Stated, name: &[u8]) -> bool {
        self.operators.iter().any(|operator| operator.covers(stated, name))
    }

    /// Whether only an operator may say which keys there are, or which one is used.
    #[cfg(feature = "seal")]
    pub(crate) fn protects_keys(&self) -> bool {
        let orders: [&[u8]; 2] = [b"_serf_install-key", b"_serf_use-key"];
        let asked = Stated::Query { ack: false };
        cfg!(feature = "authority") && orders.iter().any(|order| self.protects(asked, order))
    }

    /// Whether nobody but an operator gives events of this identity a meaning: they are then not even known as lost.
    pub(crate) fn keeps(&self, id: EventId) -> bool {
        id.is_signed() && !self.operators.is_empty()
    }

    /// What is to become of an event or a query; `may_check` is asked before a signature is looked at. `since`: nothing that was signed earlier
    /// is taken, as far as the time is known. Who knows no operators allows all. Without the feature `authority` nothing of this takes
    /// room.
    #[inline]
    pub(crate) fn judge(
        &self,
        cluster: u32,
        (since, now): (Instant, Instant),
        claim: &Claim<'_>,
        may_check: impl FnOnce(u16) -> bool,
    ) -> Verdict {
        if !cfg!(feature = "authority") || self.operators.is_empty() {
            return Verdict::Allowed;
        }
        let Claim { id, stated, answers_to, timeout, name, filters, payload } = *claim;
        let (Some(signature), filters) = Signature::split(filters) else {
            return match id.is_signed() || filters.first() == Some(&SIGNATURE) {
                true => Verdict::Forged,
                false if self.protects(stated, name) => Verdict::Unsigned,
                false => Verdict::Allowed,
            };
        };
        if !id.is_signed() || !self.is_timely(since, now, &signature) {
            return Verdict::Forged;
        }
        if !may_check(self.rate) {
            return Verdict::Later;
        }
        let reserved = Reserved { id, cluster, answers_to, timeout };
        let statement = Statement { reserved, time: signature.time, stated, name, filters, payload };
        let mut operators = self
            .operators
            .iter()
            .filter(|operator| operator.key[..4] == signature.signer && operator.covers(stated, name));
        match operators.any(|operator| (self.verify)(&operator.key, &statement, &signature.bytes)) {
            true => Verdict::Allowed,
            false => Verdict::Forged,
        }
    }

    /// How long a signed query that has come is to be answered yet, in microseconds, `told` being what whoever passed it on says: who knows the
    /// time trusts the signature's, others only whom they have asked for it.
    pub(crate) fn time_left(&self, now: Instant, query: &Query<'_>, told: Option<u64>) -> u64 {
        let signed = query.flags >> query_flag::TIMEOUT_SHIFT;
        let time = query.filters.get(SIGNED_AT).and_then(|time| time.try_into().ok());
        let over = time.map_or(0, u32::from_le_bytes).saturating_add(signed / 10 + SKEW as u32);
        let (tenths, told) = match self.epoch {
            0 => (signed, told.unwrap_or(u64::MAX)),
            _ => (over.saturating_sub(self.unix(now) as u32).saturating_mul(10).min(signed), u64::MAX),
        };
        told.min(tenths as u64 * 100_000)
    }

    fn unix(&self, at: Instant) -> u64 {
        self.epoch + at.as_micros() / 1_000_000
    }

    fn is_timely(&self, since: Instant, now: Instant, signature: &Signature) -> bool {
        let signed = signature.time as u64;
        self.epoch == 0
            || (self.unix(now).abs_diff(signed) <= LIFETIME
                && (since == Instant::PAST || signed + SKEW_AT_START >= self.unix(since)))
    }
}

/// What an operator signs: which event or query, in which fleet, with all that decides what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'s> {
    /// From the reservation.
    pub reserved: Reserved,
    /// Unix time, in seconds.
    pub time: u32,
    /// What it is.
    pub stated: Stated,
    /// Its name.
    pub name: &'s [u8],
    /// For whom it is, encoded; see [`crate::UserEvent::filters`], without the signature.
    pub filters: &'s [u8],
    /// Any bytes. Of an order about keys: the key.
    pub payload: &'s [u8],
}

/// What can be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Stated {
    /// An event.
    Event {
        /// Whether it may be coalesced.
        coalesce: bool,
    },
    /// A query.
    Query {
        /// Whether whoever is asked is to say so at once.
        ack: bool,
    },
}

/// An identity that is kept for an event or a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reserved {
    /// The identity.
    pub id: EventId,
    /// The lower half of the hash of the cluster's name, 0 if it has none.
    pub cluster: u32,
    /// Where the answers to a query go; [`Address::UNSET`] for an event.
    pub answers_to: Address,
    /// How long they are waited for, in tenths of a second; 0 for an event.
    pub timeout: u16,
}

/// What somebody has signed, under an identity that a node has kept for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Signed {
    /// The identity.
    pub reserved: Reserved,
    /// The signature.
    pub signature: Signature,
}

/// What is signed of a query's payload: of an order about keys the key, whatever it is wrapped under. `None` if it cannot be opened.
pub(crate) fn signed_payload<'q>(
    seal: &Seal<'_>,
    query: &Query<'q>,
    opened: &'q mut [u8; WRAPPED_KEY],
) -> Option<&'q [u8]> {
    if key_order(query.name.as_bytes()).is_none() {
        return Some(query.payload);
    }
    seal.opened(query.payload, opened).map(|key| &key[..])
}

/// What has come, or is to be fired, with a signature in front of its filters if it has one.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'c> {
    pub(crate) id: EventId,
    pub(crate) stated: Stated,
    pub(crate) answers_to: Address,
    pub(crate) timeout: u16,
    pub(crate) name: &'c [u8],
    pub(crate) filters: &'c [u8],
    pub(crate) payload: &'c [u8],
}

/// By whom and when something was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Signature {
    /// The first bytes of the operator's public key.
    pub signer: [u8; 4],
    /// Unix time, in seconds.
    pub time: u32,
    /// Ed25519.
    pub bytes: [u8; 64],
}

impl Signature {
    /// Bytes in front of the filters.
    pub(crate) const LEN: usize = 73;

    /// Itself, and the filters behind it; `None` if they are longer than filters may be.
    pub(crate) fn in_front_of(&self, filters: &[u8]) -> Option<Vec<u8, { Self::LEN + FILTERS_MAX }>> {
        let mut whole = Vec::from_slice(&self.encode()).ok()?;
        whole.extend_from_slice(filters).ok()?;
        Some(whole)
    }

    fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [SIGNATURE; Self::LEN];
        bytes[1..5].copy_from_slice(&self.signer);
        bytes[SIGNED_AT].copy_from_slice(&self.time.to_le_bytes());
        bytes[9..].copy_from_slice(&self.bytes);
        bytes
    }

    /// Takes one off the front of filters.
    pub(crate) fn split(filters: &[u8]) -> (Option<Signature>, &[u8]) {
        let read = || {
            let (encoded, rest) = filters.split_first_chunk::<{ Self::LEN }>()?;
            let ([kind, head @ ..], bytes) = encoded.split_first_chunk::<9>()?;
            let ([a, b, c, d], time) = head.split_first_chunk()?;
            let signature = Signature {
                signer: [*a, *b, *c, *d],
                time: u32::from_le_bytes(time.try_into().ok()?),
                bytes: bytes.try_into().ok()?,
            };
            (*kind == SIGNATURE).then_some((signature, rest))
        };
        read().map_or((None, filters), |(signature, rest)| (Some(signature), rest))
    }
}

/// Where the time of a signature stands, in filters that begin with it.
const SIGNED_AT: Range<usize> = 5..9;

/// What a signature begins with, where filters begin with what they are.
const SIGNATURE: u8 = 2;

/// Bit of [`EventId::origin`]: an event or a query with a signature. No other has it.
pub(crate) const SIGNED: u64 = 1 << 63;

/// What is to become of an event or a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// It is unsigned, and only an operator may fire it.
    Unsigned,
    /// Its signature, or its identity, is not what it says: another one may have that identity.
    Forged,
    /// Too many are checked just now.
    Later,
    /// An order about a key that this node cannot open: nobody's fault, and nothing that it could check.
    Unreadable,
}

/// How many signatures are checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    /// When the next one may be checked without a burst.
    next: Instant,
}

impl Gate {
    pub(crate) fn new(now: Instant) -> Gate {
        Gate { next: now }
    }

    pub(crate) fn may_check(&mut self, rate: u16, now: Instant) -> bool {
        let apart = Duration::from_micros(1_000_000 / rate.max(1) as u64);
        let burst = apart.times(BURST.max(rate as u32) - 1);
        let next = self.next.max(now);
        if next.since(now) > burst {
            return false;
        }
        self.next = next + apart;
        true
    }
}

impl EventId {
    /// Whether it is that of something signed, as far as that matters here.
    pub(crate) fn is_signed(self) -> bool {
        cfg!(feature = "authority") && self.origin & SIGNED != 0
    }
}

#[cfg(all(test, feature = "authority"))]
mod tests {
    use super::*;
    use crate::kit;

    const OPERATORS: [Operator; 2] = [
        Operator { key: [1; 32], patterns: &["reboot", "deploy/*"] },
        Operator { key: [2; 32], patterns: &["reboot"] },
    ];

    /// Whoever has signed has written its key twice.
    fn authority() -> Authority {
        let verify: Verify = |key, _, signature| signature[..32] == *key && signature[32..] == *key;
        Authority { operators: &OPERATORS, verify, rate: 2, epoch: 0 }
    }

    const EVENT: Stated = Stated::Event { coalesce: false };
    const ASKED: Stated = Stated::Query { ack: true };

    fn claim<'c>(stated: Stated, name: &'c str, marked: bool, filters: &'c [u8]) -> Claim<'c> {
        let id = kit::id(7, 5 | if marked { SIGNED } else { 0 });
        Claim {
            id,
            stated,
            answers_to: Address::UNSET,
            timeout: 0,
            name: name.as_bytes(),
            filters,
            payload: b"",
        }
    }

    fn by(key: u8) -> [u8; Signature::LEN] {
        Signature { signer: [key; 4], time: 9, bytes: [key; 64] }.encode()
    }

    #[test]
    fn only_what_an_operator_has_signed_whose_patterns_cover_it_is_allowed() {
        let judge = |name, marked, filters: &[u8]| {
            let claim = claim(EVENT, name, marked, filters);
            authority().judge(0, (Instant::PAST, Instant::ZERO), &claim, |_| true)
        };
        for (name, marked, filters, verdict) in [
            ("log", false, &[][..], Verdict::Allowed),
            ("reboot", false, &[], Verdict::Unsigned),
            ("deploy/web", false, &[], Verdict::Unsigned),
            ("deploy", false, &[], Verdict::Allowed),
            ("reboot", true, &[], Verdict::Forged),
            ("log", true, &[], Verdict::Forged),
            ("reboot", true, &by(1), Verdict::Allowed),
            ("reboot", true, &by(2), Verdict::Allowed),
            ("deploy/web", true, &by(1), Verdict::Allowed),
            ("deploy/web", true, &by(2), Verdict::Forged),
            ("reboot", true, &by(3), Verdict::Forged),
            ("reboot", false, &by(1), Verdict::Forged),
            ("log", false, &by(1), Verdict::Forged),
            ("log", true, &by(1), Verdict::Forged),
            ("reboot", true, &by(1)[..72], Verdict::Forged),
        ] {
            assert_eq!(judge(name, marked, filters), verdict, "{name} {marked} {}", filters.len());
        }
    }

    #[test]
    fn patterns_are_of_events_or_queries_or_orders_about_keys() {
        const PATTERNS: [&str; 7] =
            ["*", "query:ps", "query:disk*", "keys:*", "keys:use", "query:_serf_p*", "_serf_o*"]; // The last two cover nothing.
        let covered = |pattern: usize, stated, name: &str| {
            let operator = Operator { key: [0; 32], patterns: &PATTERNS[pattern..=pattern] };
            operator.covers(stated, name.as_bytes())
        };
        for (stated, name, by) in [
            (EVENT, "ps", &[0][..]),
            (EVENT, "query:ps", &[0]),
            (EVENT, "keys:use", &[0]),
            (EVENT, "_serf_use-key", &[]),
            (EVENT, "_serf_once", &[]),
            (ASKED, "ps", &[1]),
            (ASKED, "psx", &[]),
            (ASKED, "disk-free", &[2]),
            (ASKED, "_serf_use-key", &[3, 4]),
            (ASKED, "_serf_install-key", &[3]),
            (ASKED, "_serf_remove-key", &[3]),
            (ASKED, "_serf_list-keys", &[]),
            (ASKED, "_serf_list-key", &[3]),
            (ASKED, "_serf_ping", &[]),
            (ASKED, "use", &[]),
        ] {
            let all: std::vec::Vec<usize> =
                (0..PATTERNS.len()).filter(|pattern| covered(*pattern, stated, name)).collect();
            assert_eq!(all, by, "{stated:?} {name}");
        }
    }

    #[test]
    fn who_knows_no_operators_allows_all() {
        for (marked, filters) in [(false, &[][..]), (true, &by(9)), (true, &[]), (false, &by(9))] {
            let times = (Instant::PAST, Instant::ZERO);
            let claim = claim(EVENT, "reboot", marked, filters);
            let verdict = Authority::NONE.judge(0, times, &claim, |_| true);
            assert_eq!(verdict, Verdict::Allowed);
        }
    }

    #[test]
    fn four_at_once_then_two_a_second() {
        let mut gate = Gate::new(Instant::ZERO);
        let mut taken = |ms| (0..10).filter(|_| gate.may_check(2, Instant::from_millis(ms))).count();
        assert_eq!([taken(0), taken(100), taken(500), taken(1_000), taken(10_000)], [4, 0, 1, 1, 4]);
    }

    /// Signed at second 1,000, judged at second 1,100, by who has started at 1,070 and takes nothing of before.
    #[test]
    fn what_was_signed_before_the_start_is_taken_by_none_who_has_just_come() {
        let known = Authority { epoch: 1_000, ..authority() };
        let signed = |time| Signature { signer: [1; 4], time, bytes: [1; 64] }.encode();
        let judge = |since, time| {
            let times = (since, Instant::from_millis(100_000));
            let signature = signed(time);
            known.judge(0, times, &claim(EVENT, "reboot", true, &signature), |_| true) == Verdict::Allowed
        };
        let start = Instant::from_millis(70_000);
        assert!(!judge(start, 1_064) && judge(start, 1_065) && judge(Instant::PAST, 1_000));
        assert!(!judge(Instant::PAST, 1_101 + LIFETIME as u32));
    }
}
