//! What stands in the place of [`super::seal`] in a build without it: nothing is ever sealed.

use core::convert::Infallible;
use core::marker::PhantomData;

use super::message::Address;
use crate::time::Instant;

/// What a seal would take, before and behind the messages: so all builds have one limit for what fits.
pub(crate) const HEAD: usize = 17;
pub(crate) const TAG: usize = 16;

/// Nobody wraps keys.
pub(crate) const WRAPPED_KEY: usize = 0;

/// There is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) peer: Option<u16>,
    none: Infallible,
}

/// Answers are sealed with nothing, and begin with nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub(crate) struct Reply;

impl Reply {
    pub(crate) const PLAIN: Reply = Reply;

    pub(crate) fn to(_: Option<Sender>, _: u32, _: bool) -> Reply {
        Reply
    }

    pub(crate) fn answers(&self) -> u32 {
        0
    }

    pub(crate) fn challenges(&self) -> bool {
        false
    }
}

pub(crate) struct Seal<'a>(PhantomData<&'a ()>);

impl Seal<'_> {
    pub(crate) fn new() -> Self {
        Seal(PhantomData)
    }

    pub(crate) fn is_on(&self) -> bool {
        false
    }

    pub(crate) fn opened<'b>(&self, _: &[u8], _: &'b mut [u8; WRAPPED_KEY]) -> Option<&'b [u8; 32]> {
        None
    }

    pub(super) fn close(&mut self, _: &mut [u8], end: usize, _: Option<u32>, _: &Reply) -> usize {
        end
    }

    pub(crate) fn begin_anew(&mut self) {}

    pub(crate) fn may_challenge(&mut self, _: Instant, _: u32) -> bool {
        false
    }

    pub(crate) fn bind(&mut self, _: u16, _: &Address, sender: &Sender) -> bool {
        match sender.none {}
    }

    pub(crate) fn forget(&mut self, _: u16) {}
}
