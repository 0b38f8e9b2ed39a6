//! Without the feature `batches`: own events are announced as others' are. Those of others' batches are left to their origins all the same.

use super::{BatchDue, Events};
use crate::context::Cx;
use crate::failure::Links;
use crate::membership::table::Table;
use crate::time::Instant;
use crate::wire::message::{Address, Batch};
use crate::wire::packet::Packet;

pub(super) struct Batches;

impl Batches {
    pub(super) const fn new(_: u32) -> Self {
        Batches
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::FAR
    }
}

impl Events<'_> {
    pub(crate) fn begin_batch(&mut self, _: &mut Cx<'_>, _: &Table<'_>, _: Links) -> Option<Batch> {
        None
    }

    pub(crate) fn addressed(&self, batch: Batch, _: Address) -> Batch {
        batch
    }

    pub(super) fn await_batch(&mut self, _: Instant, _: u16, _: Option<Batch>) {}

    pub(crate) fn batch_due(&mut self, _: &mut Cx<'_>, _: &Table<'_>) -> Option<BatchDue> {
        None
    }

    pub(crate) fn has_received(&self, _: u32, _: usize) -> bool {
        true
    }

    pub(crate) fn write_reminder(&mut self, _: &mut Cx<'_>, _: &mut Packet<'_>, _: Address, _: Batch) {}

    pub(crate) fn write_complete(&mut self, _: &mut Packet<'_>, _: u32, _: bool) {}
}
