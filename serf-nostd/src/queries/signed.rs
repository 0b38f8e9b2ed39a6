//! Identities of the queries that operators sign ([`crate::authority`]).

use crate::authority::{Reserved, SIGNED};
use crate::context::Cx;
use crate::events::{EventError, Events};
use crate::hash;
use crate::membership::Membership;
use crate::membership::table::SELF;
use crate::time::Duration;
use crate::wire::message::query_identity;

/// Keeps an identity for a signed query; see [`crate::Node::reserve_query`].
pub(crate) fn reserve(
    cx: &mut Cx<'_>,
    members: &Membership<'_>,
    events: &Events<'_>,
    timeout: Duration,
) -> Result<Reserved, EventError> {
    events.may_fire(cx)?;
    let ltime = cx.clocks.event.stamp();
    let source = members.table.name(SELF);
    let id = query_identity(ltime, source, reserved_number(cx, ltime, source));
    let timeout = timeout.as_micros().div_ceil(100_000).min(u16::MAX as u64) as u16;
    Ok(Reserved { id, cluster: cx.wire.cluster(), answers_to: members.table.hot(SELF).addr, timeout })
}

/// The number of the one signed query of this node's at that time.
pub(super) fn reserved_number(cx: &Cx<'_>, ltime: u64, source: &str) -> u32 {
    numbered(ltime, source, hash::mix(cx.origin ^ ltime), true)
}

/// A number for a query, at or after the lower half of this one: of signed ones the identity is marked, and of no others.
pub(super) fn numbered(ltime: u64, source: &str, from: u64, signed: bool) -> u32 {
    let from = from as u32;
    let is_marked = |number: u32| query_identity(ltime, source, number).origin & SIGNED != 0;
    // Every second one is.
    (0..=u32::MAX).map(|n| from.wrapping_add(n)).find(|number| is_marked(*number) == signed).unwrap_or(from)
}
