//! Which events only operators may fire, and the signatures that show that one has.
//!
//! 1. Whoever fires such an event has a node reserve an identity for it ([`crate::Node::reserve_event`]).
//! 2. The operator signs what is to be fired under that identity ([`Statement`]); the private key need not be where the node is.
//! 3. The node fires it with the signature ([`crate::Node::signed_event`]), which travels in front of the event's filters.
//! 4. Every node that knows the operators checks it before it records the event, hands it out or passes it on.
//!
//! An identity is taken once, whatever clocks say, so what is recorded cannot be fired again. Identities of signed events are marked
//! ([`SIGNED`]): nothing that is unsigned can take one.

#[cfg(feature = "authority")]
pub(crate) mod signing;

use core::fmt;

use crate::time::{Duration, Instant};
use crate::wire::message::{EventId, UserEvent};

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its public key, Ed25519.
    pub key: [u8; 32],
    /// Which events it may fire, and nobody else: their names, or the beginning of some and a `*`. Names that begin with `_serf_`, by which
    /// nodes talk among themselves, are covered by patterns that begin so, too.
    pub patterns: &'static [&'static str],
}

/// What the names of nodes' own events begin with.
const INTERNAL: &[u8] = b"_serf_";

impl Operator {
    fn covers(&self, name: &[u8]) -> bool {
        let internal = name.starts_with(INTERNAL);
        self.patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => {
                name.starts_with(beginning.as_bytes())
                    && (!internal || beginning.as_bytes().starts_with(INTERNAL))
            }
            None => name == pattern.as_bytes(),
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
    /// before its first join ([`crate::Config::replay`], no `event_floor`) also what was signed a minute before it began. `epoch`: Unix
    /// time, in seconds, of [`Instant::ZERO`].
    #[cfg(feature = "authority")]
    pub const fn since(self, epoch: u64) -> Authority {
        Authority { epoch, ..self }
    }

    /// Whether only an operator may fire events of this name.
    pub fn protects(&self, name: &[u8]) -> bool {
        self.operators.iter().any(|operator| operator.covers(name))
    }

    /// Whether nobody but an operator gives events of this identity a meaning: they are then not even known as lost.
    pub(crate) fn keeps(&self, id: EventId) -> bool {
        id.is_signed() && !self.operators.is_empty()
    }

    /// What is to become of an event; `may_check` is asked before a signature is looked at. `since`: nothing that was signed earlier
    /// is taken, as far as the time is known. Who knows no operators allows all. Without the feature `authority` nothing of this takes
    /// room.
    #[inline]
    pub(crate) fn judge(
        &self,
        cluster: u32,
        (since, now): (Instant, Instant),
        event: &UserEvent<'_>,
        filters: &[u8],
        may_check: impl FnOnce(u16) -> bool,
    ) -> Verdict {
        if !cfg!(feature = "authority") || self.operators.is_empty() {
            return Verdict::Allowed;
        }
        let (Some(signature), filters) = Signature::split(filters) else {
            return match event.id.is_signed() || filters.first() == Some(&SIGNATURE) {
                true => Verdict::Forged,
                false if self.protects(event.name) => Verdict::Unsigned,
                false => Verdict::Allowed,
            };
        };
        if !event.id.is_signed() || !self.is_timely(since, now, &signature) {
            return Verdict::Forged;
        }
        if !may_check(self.rate) {
            return Verdict::Later;
        }
        let UserEvent { id, coalesce, name, payload } = *event;
        let reserved = Reserved { id, cluster };
        let statement = Statement { reserved, time: signature.time, coalesce, name, filters, payload };
        let mut operators = self
            .operators
            .iter()
            .filter(|operator| operator.key[..4] == signature.signer && operator.covers(statement.name));
        match operators.any(|operator| (self.verify)(&operator.key, &statement, &signature.bytes)) {
            true => Verdict::Allowed,
            false => Verdict::Forged,
        }
    }

    fn is_timely(&self, since: Instant, now: Instant, signature: &Signature) -> bool {
        let unix = |at: Instant| self.epoch + at.as_micros() / 1_000_000;
        let signed = signature.time as u64;
        self.epoch == 0
            || (unix(now).abs_diff(signed) <= LIFETIME
                && (since == Instant::PAST || signed + SKEW >= unix(since)))
    }
}

/// What an operator signs: which event, in which fleet, with all that decides what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'s> {
    /// From the reservation.
    pub reserved: Reserved,
    /// Unix time, in seconds.
    pub time: u32,
    /// Whether it may be coalesced.
    pub coalesce: bool,
    /// Its name.
    pub name: &'s [u8],
    /// For whom it is, encoded; see [`crate::UserEvent::filters`], without the signature.
    pub filters: &'s [u8],
    /// Any bytes.
    pub payload: &'s [u8],
}

/// An identity that is kept for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reserved {
    /// The identity.
    pub id: EventId,
    /// The lower half of the hash of the cluster's name, 0 if it has none.
    pub cluster: u32,
}

/// By whom and when an event was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The first bytes of the operator's public key.
    pub signer: [u8; 4],
    /// Unix time, in seconds.
    pub time: u32,
    /// Ed25519.
    pub bytes: [u8; 64],
}

impl Signature {
    /// Bytes in front of an event's filters.
    pub(crate) const LEN: usize = 73;

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [SIGNATURE; Self::LEN];
        bytes[1..5].copy_from_slice(&self.signer);
        bytes[5..9].copy_from_slice(&self.time.to_le_bytes());
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

/// What a signature begins with, where filters begin with what they are.
const SIGNATURE: u8 = 2;

/// Bit of [`EventId::origin`]: an event with a signature. No other has it.
pub(crate) const SIGNED: u64 = 1 << 63;

/// What is to become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// It is unsigned, and only an operator may fire it.
    Unsigned,
    /// Its signature, or its identity, is not what it says: another event may have that identity.
    Forged,
    /// Too many are checked just now.
    Later,
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
    /// Whether it is a signed event's, as far as that matters here.
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

    fn event(name: &str, marked: bool) -> UserEvent<'_> {
        let id = kit::id(7, 5 | if marked { SIGNED } else { 0 });
        UserEvent { id, coalesce: false, name: name.as_bytes(), payload: b"" }
    }

    fn by(key: u8) -> [u8; Signature::LEN] {
        Signature { signer: [key; 4], time: 9, bytes: [key; 64] }.encode()
    }

    #[test]
    fn only_what_an_operator_has_signed_whose_patterns_cover_it_is_allowed() {
        let judge = |name, marked, filters: &[u8]| {
            authority().judge(0, (Instant::PAST, Instant::ZERO), &event(name, marked), filters, |_| true)
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
    fn who_knows_no_operators_allows_all() {
        for (marked, filters) in [(false, &[][..]), (true, &by(9)), (true, &[]), (false, &by(9))] {
            let times = (Instant::PAST, Instant::ZERO);
            let verdict = Authority::NONE.judge(0, times, &event("reboot", marked), filters, |_| true);
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
            known.judge(0, times, &event("reboot", true), &signed(time), |_| true) == Verdict::Allowed
        };
        let start = Instant::from_millis(70_000);
        assert!(!judge(start, 1_000) && judge(start, 1_011) && judge(Instant::PAST, 1_000));
        assert!(!judge(Instant::PAST, 1_101 + LIFETIME as u32));
    }
}
