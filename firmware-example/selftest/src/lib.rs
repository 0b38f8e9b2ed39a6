//! Tests of the gossip core that need no operating system, to run on a board's own processor: the bytes of the wire
//! ([`codec`]), a fleet of three nodes ([`Fleet`]), and what the core leaves to the processor ([`division`]).
//!
//! The core is deterministic, so all processors must agree: [`Fleet::run`] returns a digest of everything that the
//! nodes have said, which is the same on a Cortex-M as on a server, or one of them is wrong.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod codec;
mod division;
mod fleet;
#[cfg(feature = "seal")]
mod price;

pub use codec::codec;
pub use division::division;
pub use fleet::{Fleet, Nodes, Verdict};
#[cfg(feature = "seal")]
pub use price::{Both, LEN, Pair, Prices, prices};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_well_and_the_same_every_time() {
        assert_eq!(division(), Ok(()));
        assert_eq!(codec(), Ok(40));
        let run = || Fleet::new().run(&mut [None, None, None]);
        let verdict = run().unwrap();
        assert!(verdict.datagrams > 100);
        assert_eq!(run(), Ok(verdict));
    }

    #[test]
    #[cfg(feature = "seal")]
    fn what_sealing_costs_can_be_measured() {
        let (mut pairs, mut nodes) = ([const { Pair::new() }; 2], Default::default());
        assert_eq!(prices(&mut pairs, &mut nodes, || 0), Ok(Prices::default()));
    }
}
