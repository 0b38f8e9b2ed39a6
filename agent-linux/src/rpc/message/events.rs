//! Events on their way to the agent, and the receipts that come back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serf_nostd::Key;

use super::lenient::{bytes, bytes_or_nil, nil_as_default, text_map, texts};
use super::{MAP, Reservation, Signed, field, text_field};
use crate::agent::query::Target;
use crate::agent::receipts;

/// `event`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UserEvent {
    /// Any bytes.
    #[serde(deserialize_with = "bytes")]
    pub name: Vec<u8>,
    /// Any bytes.
    #[serde(deserialize_with = "bytes")]
    pub payload: Vec<u8>,
    /// Whether receivers may coalesce it.
    #[serde(deserialize_with = "nil_as_default")]
    pub coalesce: bool,
}

impl UserEvent {
    /// Appends the request's body. Written by hand for the name: see [`encode_text`](crate::rpc::wire::encode_text).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(MAP | 3);
        field(out, "Coalesce", &self.coalesce);
        text_field(out, "Name", &self.name);
        field(out, "Payload", &bytes_or_nil(&self.payload));
    }
}

/// `targeted-event`: an event for some members. A command of its own, as Go's agents would pass over the filters of an `event`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TargetedEvent {
    /// Names of the members that it is for; none: whatever their names.
    #[serde(deserialize_with = "texts")]
    pub filter_nodes: Vec<String>,
    /// Regular expressions, found anywhere in the values of these tags.
    #[serde(deserialize_with = "text_map")]
    pub filter_tags: BTreeMap<String, String>,
    /// Any bytes.
    #[serde(deserialize_with = "bytes")]
    pub name: Vec<u8>,
    /// Any bytes.
    #[serde(deserialize_with = "bytes")]
    pub payload: Vec<u8>,
    /// Whether receivers may coalesce it.
    #[serde(deserialize_with = "nil_as_default")]
    pub coalesce: bool,
    /// What an operator has signed of it.
    pub signed: Option<Signed>,
}

impl TryFrom<TargetedEvent> for receipts::UserEvent {
    type Error = &'static str;

    fn try_from(event: TargetedEvent) -> Result<receipts::UserEvent, &'static str> {
        let TargetedEvent { filter_nodes: nodes, filter_tags: tags, name, payload, coalesce, signed } = event;
        let (target, signed) = (Target { nodes, tags }, signed.map(TryInto::try_into).transpose()?);
        Ok(receipts::UserEvent { target, name, payload, coalesce, signed })
    }
}

impl TargetedEvent {
    /// Signs it with an operator's private key, now. What is reserved for nothing is left unsigned.
    pub fn sign(&mut self, reservation: Reservation, key: &Key) {
        self.signed = None;
        if let (Ok(reserved), Ok(mut event)) =
            (reservation.try_into(), receipts::UserEvent::try_from(self.clone()))
        {
            event.sign(reserved, key);
            self.signed = event.signed.map(Signed::from);
        }
    }

    /// Appends the request's body. Written by hand for the name: see [`encode_text`](crate::rpc::wire::encode_text).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(MAP | (5 + self.signed.is_some() as u8));
        field(out, "Coalesce", &self.coalesce);
        field(out, "FilterNodes", &self.filter_nodes);
        field(out, "FilterTags", &self.filter_tags);
        text_field(out, "Name", &self.name);
        field(out, "Payload", &bytes_or_nil(&self.payload));
        if let Some(signed) = &self.signed {
            field(out, "Signed", signed);
        }
    }
}

/// `event-receipts`: an event, and whose receipts of it are waited for. Go's agents do not know it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EventReceipts {
    /// As of a [`TargetedEvent`], here and in what follows.
    #[serde(deserialize_with = "texts")]
    pub filter_nodes: Vec<String>,
    /// Likewise.
    #[serde(deserialize_with = "text_map")]
    pub filter_tags: BTreeMap<String, String>,
    /// Any bytes.
    #[serde(deserialize_with = "bytes")]
    pub name: Vec<u8>,
    /// Any bytes.
    #[serde(deserialize_with = "bytes")]
    pub payload: Vec<u8>,
    /// Whether receivers may coalesce it.
    #[serde(deserialize_with = "nil_as_default")]
    pub coalesce: bool,
    /// Percent of the living members that it is for: 1 to 100.
    #[serde(deserialize_with = "nil_as_default")]
    pub share: u8,
    /// How long they are waited for, in nanoseconds.
    #[serde(deserialize_with = "nil_as_default")]
    pub timeout: i64,
    /// As of a [`TargetedEvent`].
    pub signed: Option<Signed>,
}

impl EventReceipts {
    /// For this event.
    pub fn of(event: TargetedEvent, share: u8, timeout: i64) -> EventReceipts {
        let TargetedEvent { filter_nodes, filter_tags, name, payload, coalesce, signed } = event;
        EventReceipts { filter_nodes, filter_tags, name, payload, coalesce, share, timeout, signed }
    }

    /// The event.
    pub fn into_event(self) -> TargetedEvent {
        let EventReceipts { filter_nodes, filter_tags, name, payload, coalesce, signed, .. } = self;
        TargetedEvent { filter_nodes, filter_tags, name, payload, coalesce, signed }
    }

    /// Appends the request's body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.clone().into_event().encode(out);
        out[start] += 2;
        field(out, "Share", &self.share);
        field(out, "Timeout", &self.timeout);
    }
}

/// Answer to `event-receipts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Receipts {
    /// So many living members the event is for.
    #[serde(deserialize_with = "nil_as_default")]
    pub members: u64,
    /// Those that have not said to have handed it out, sorted.
    #[serde(deserialize_with = "texts")]
    pub missing: Vec<String>,
    /// How long that took, in nanoseconds.
    #[serde(deserialize_with = "nil_as_default")]
    pub took: u64,
}

impl From<receipts::Receipts> for Receipts {
    fn from(receipts: receipts::Receipts) -> Receipts {
        let receipts::Receipts { members, missing, took } = receipts;
        Receipts { members: members as u64, missing, took: took.as_nanos() as u64 }
    }
}
