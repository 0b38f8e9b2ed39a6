//! What outlives the power: how often the board has started, and which events it must not hear again.

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::cache::{Cache, CacheImpl};
use sequential_storage::map::{MapConfig, MapStorage};

/// Two numbers in flash, written so that a power cut at any moment leaves the old or the new ones.
///
/// They are one item: so the page that is being erased, whose contents a power cut leaves to chance, never has the newest
/// of either. That wants three pages: one that is full, the next, and the one that is erased for the time after.
pub struct Memory<F: NorFlash> {
    flash: F,
    range: Range<u32>,
    boot: u64,
    floor: u64,
}

impl<F: NorFlash> Memory<F> {
    /// The application's part of the flash: at least three erasable pages.
    pub fn new(flash: F, range: Range<u32>) -> Self {
        Memory { flash, range, boot: 0, floor: 0 }
    }

    /// The number of this start, and the Lamport time up to which events may have been handed out before. `None` if the
    /// flash can't be used: then the board has no number that it has not used, and must not take part.
    pub async fn start(&mut self) -> Option<(u64, u64)> {
        let [boot, floor] = self.map().fetch_item(&mut [0; 32], &()).await.ok()?.unwrap_or([0, 0]);
        self.boot = boot + 1;
        self.store(floor).await.then_some((self.boot, floor))
    }

    /// The flash, for what else is kept in it beside this.
    #[cfg(feature = "seal")]
    pub fn flash(&mut self) -> &mut F {
        &mut self.flash
    }

    /// Makes sure that events up to this time are not handed out again after a power cut. False if it can't be.
    ///
    /// Each later time costs a write. To cover some times ahead would save most of them, but whatever others fire at those
    /// times would be lost to the next start.
    pub async fn cover(&mut self, ltime: u64) -> bool {
        ltime <= self.floor || self.store(ltime).await
    }

    async fn store(&mut self, floor: u64) -> bool {
        let numbers = [self.boot, floor];
        let stored = self.map().store_item(&mut [0; 32], &(), &numbers).await.is_ok();
        if stored {
            self.floor = floor;
        }
        stored
    }

    fn map(&mut self) -> MapStorage<(), &mut F, impl CacheImpl<()>> {
        MapStorage::new(&mut self.flash, MapConfig::new(self.range.clone()), Cache::new_uncached())
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use embassy_futures::block_on;

    use super::*;
    use crate::flash::{Flash, PAGE, Torn};

    const FLASH: usize = 3 * PAGE;
    /// More operations than a life has: no power cut.
    const LONG: u32 = 1_000;

    /// A board's lives, by turns as many operations long as `lives` says.
    fn live(torn: Torn, lives: &[u32]) {
        let mut bytes = vec![0xff; FLASH];
        let (mut last, mut covered) = (0, 0);
        for left in lives.iter().copied().cycle().take(30) {
            let mut memory = Memory::new(Flash { bytes, left, torn }, 0..FLASH as u32);
            block_on(async {
                let Some((boot, floor)) = memory.start().await else {
                    assert!(left < LONG, "with power it starts: {lives:?} {torn:?}");
                    return;
                };
                assert!(boot > last, "boot {boot} after {last}, {lives:?}, {torn:?}");
                assert!(floor >= covered, "floor {floor}, {covered} was promised, {lives:?}, {torn:?}");
                last = boot;
                for ltime in covered + 1..covered + 300 {
                    if !memory.cover(ltime).await {
                        break;
                    }
                    covered = ltime;
                }
            });
            bytes = memory.flash.bytes;
        }
    }

    #[test]
    fn a_power_cut_at_any_moment_takes_no_promise_back() {
        for first in 0..50 {
            live(Torn::Zeros, &[first, LONG]);
            for second in 0..8 {
                live(Torn::HalfErased, &[first, second, LONG]);
                live(Torn::Noise(first.into()), &[first, second, LONG]);
            }
        }
    }
}
