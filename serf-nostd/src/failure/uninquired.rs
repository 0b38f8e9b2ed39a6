//! Without the feature `inquest`: nobody tells what hosts refuse, and nothing is asked.

use super::Failure;
use crate::config::Config;
use crate::context::Cx;
use crate::membership::Membership;
use crate::time::Instant;

pub(crate) struct Inquests;

impl Inquests {
    pub(crate) const fn new() -> Self {
        Inquests
    }

    pub(crate) fn deadline(&self, _: &Config) -> Instant {
        Instant::FAR
    }

    pub(crate) fn forget(&mut self, _: u16) {}

    pub(crate) fn restart(&mut self) {}
}

impl Failure<'_> {
    pub(super) fn inquire(&mut self, _: &mut Cx<'_>, _: &mut Membership<'_>) -> Option<(u16, u32)> {
        None
    }

    pub(crate) fn lives(&mut self, _: &Cx<'_>, _: u16) {}

    pub(crate) fn inquest_answered(&mut self, _: &mut Cx<'_>, _: &mut Membership<'_>, _: u32) -> bool {
        false
    }

    pub(crate) fn is_accused(&self, _: u16) -> bool {
        false
    }

    pub(crate) fn sent(&mut self, _: &Cx<'_>, _: &[u8], _: u32, _: u16) {}
}
