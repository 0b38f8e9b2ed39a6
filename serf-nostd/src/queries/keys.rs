//! Orders about keys: queries that each node carries out itself, and answers when its application has kept the keys.

use super::{Ask, Queries, QueryError};
use crate::authority::{Reserved, Stated, Statement};
use crate::context::Cx;
use crate::events::Events;
use crate::membership::Membership;
use crate::wire::message::EventId;
use crate::wire::seal::{Key, KeyError, ORDER_MAX, Seal, WRAPPED_KEY};

/// What is to be done with a key, by all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum KeyOrder<'k> {
    /// Open with it from now on, too.
    Install(&'k Key),
    /// Seal with it from now on.
    Use(&'k Key),
    /// Forget it. Who does not have it has done so.
    Remove(&'k Key),
    /// Say which there are.
    List,
}

/// What a member says to an order about keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAnswer<'a> {
    /// It is done. To [`KeyOrder::List`] the bytes of the keys: first the one that it seals with, then the others.
    Done(&'a [[u8; Key::LEN]]),
    /// It is done, but its next start will not know it: there is nowhere to keep keys.
    Unkept,
    /// It is not, and why.
    Failed(&'a str),
}

const INSTALL: &str = "_serf_install-key";
const USE: &str = "_serf_use-key";
const REMOVE: &str = "_serf_remove-key";
const LIST: &str = "_serf_list-keys";

pub(crate) const DONE: u8 = 0;
const FAILED: u8 = 1;
pub(crate) const UNKEPT: u8 = 2;

/// Longest answer: with some 30 keys, or a text.
const ANSWER: usize = 1_000;

const NO_KEYRING: &str = "No keyring to modify (encryption not enabled)";
const EMPTY: &str = "Keyring is empty (encryption not enabled)";

impl<'k> KeyOrder<'k> {
    fn name(&self) -> &'static str {
        match self {
            KeyOrder::Install(_) => INSTALL,
            KeyOrder::Use(_) => USE,
            KeyOrder::Remove(_) => REMOVE,
            KeyOrder::List => LIST,
        }
    }

    /// What an operator signs of it; `None` of the one that lists keys, which needs no signature.
    pub fn statement(&self, reserved: Reserved, time: u32) -> Option<Statement<'k>> {
        let (name, payload) = (self.name().as_bytes(), &self.key()?.as_bytes()[..]);
        Some(Statement { reserved, time, stated: Stated::Query { ack: false }, name, filters: b"", payload })
    }

    fn key(&self) -> Option<&'k Key> {
        match self {
            KeyOrder::Install(key) | KeyOrder::Use(key) | KeyOrder::Remove(key) => Some(key),
            KeyOrder::List => None,
        }
    }
}

/// Puts the query of an order into words. `buf` holds its payload. The key travels under the one that all have; that one itself under the others,
/// for who lacks it.
pub(crate) fn ask<'q>(seal: &Seal<'_>, order: &KeyOrder<'_>, buf: &'q mut [u8; ORDER_MAX]) -> Ask<'q> {
    let len = order.key().filter(|_| seal.is_on()).map_or(0, |key| seal.wrap_for_all(key, buf));
    Ask { ack: false, ..Ask::all(order.name(), &buf[..len]) }
}

/// What has become of a query.
pub(crate) enum Obeyed {
    /// It is none about keys.
    Elsewhere,
    /// It is answered.
    Answered,
    /// The keys are others now: it is answered when the application has kept them.
    Changed,
}

/// Carries the order of a query out that is for this node, if it is one.
pub(crate) fn obey(
    cx: &mut Cx<'_>,
    members: &Membership<'_>,
    events: &mut Events<'_>,
    queries: &mut Queries<'_>,
    slot: u16,
) -> Obeyed {
    let Some(query) = events.store.query(slot) else { return Obeyed::Elsewhere };
    let id = query.event_id();
    let result = match query.name {
        LIST if !cx.wire.seal.is_on() => Err(EMPTY),
        LIST => {
            let mut answer = [0; ANSWER];
            let seal = &cx.wire.seal;
            let len = seal.wrap(None, seal.keys(), &mut answer[1..]).unwrap_or(0);
            let _ = queries.respond(cx, members, events, id, Some(&answer[..1 + len]));
            return Obeyed::Answered;
        }
        INSTALL | USE | REMOVE if !cx.wire.seal.is_on() => Err(NO_KEYRING),
        INSTALL | USE | REMOVE => match cx.wire.seal.opened(query.payload, &mut [0; WRAPPED_KEY]) {
            Some(key) => change(cx, query.name, &Key::new(*key), id.ltime),
            None => Err("the order is malformed, or under a key that this node does not have"),
        },
        _ => return Obeyed::Elsewhere,
    };
    if result == Ok(true) || result.is_ok() && cx.wire.seal.unkept {
        return Obeyed::Changed;
    }
    // Without room for it the asker misses this node's answer, and asks again.
    let _ = say(cx, members, events, queries, id, result.map(|_| DONE));
    Obeyed::Answered
}

/// Whether that has changed anything.
fn change(cx: &mut Cx<'_>, name: &str, key: &Key, at: u64) -> Result<bool, &'static str> {
    let known = cx.wire.seal.keys().any(|known| known == key);
    let is_primary = cx.wire.seal.keys().next() == Some(key);
    let result = match name {
        INSTALL => cx.wire.install(key).map(|_| !known),
        // What was ordered before must not undo it, whenever it comes.
        USE if at < cx.wire.seal.primary_since() => return Err("a later order says which key is used"),
        USE => cx.wire.seal.make_primary(key, at).map(|()| !is_primary),
        _ => match cx.wire.seal.remove(key) {
            Err(KeyError::Unknown) => Ok(false),
            result => result.map(|()| true),
        },
    };
    result.map_err(KeyError::text)
}

/// Answers an order: what became of it, or why it is not done.
pub(crate) fn say(
    cx: &mut Cx<'_>,
    members: &Membership<'_>,
    events: &mut Events<'_>,
    queries: &mut Queries<'_>,
    query: EventId,
    result: Result<u8, &str>,
) -> Result<(), QueryError> {
    let mut answer = [0; ANSWER];
    let len = match result {
        Ok(done) => {
            answer[0] = done;
            0
        }
        Err(text) => {
            answer[0] = FAILED;
            let text = &text.as_bytes()[..text.len().min(ANSWER - 1)];
            answer[1..1 + text.len()].copy_from_slice(text);
            text.len()
        }
    };
    queries.respond(cx, members, events, query, Some(&answer[..1 + len]))
}

/// Reads an answer, in place; `None` if it is none, or made under a key that this node does not have.
pub(crate) fn read<'a>(seal: &Seal<'_>, answer: &'a mut [u8]) -> Option<KeyAnswer<'a>> {
    match answer.split_first_mut()? {
        (&mut DONE, []) => Some(KeyAnswer::Done(&[])),
        (&mut DONE, wrapped) => seal.unwrap(wrapped).map(KeyAnswer::Done),
        (&mut UNKEPT, []) => Some(KeyAnswer::Unkept),
        (&mut FAILED, text) => str::from_utf8(text).ok().map(KeyAnswer::Failed),
        _ => None,
    }
}
