//! What outlives the power: how often the board has started, and which events it must not hear again.

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::cache::Cache;
use sequential_storage::map::{MapConfig, MapStorage};

const BOOTS: u8 = 0;
const FLOOR: u8 = 1;

/// Two numbers in flash, written so that a power cut at any moment leaves the old or the new one.
pub struct Memory<F: NorFlash> {
    flash: F,
    range: Range<u32>,
    floor: u64,
}

impl<F: NorFlash> Memory<F> {
    /// The application's part of the flash.
    pub fn new(flash: F, range: Range<u32>) -> Self {
        Memory { flash, range, floor: 0 }
    }

    /// The number of this start, and the Lamport time up to which events may have been handed out before. `None` if the
    /// flash can't be written: then the board has no number that it has not used, and must not take part.
    pub async fn start(&mut self) -> Option<(u64, u64)> {
        let boot = self.fetch(BOOTS).await + 1;
        self.floor = self.fetch(FLOOR).await;
        self.store(BOOTS, boot).await.then_some((boot, self.floor))
    }

    /// Makes sure that events up to this time are not handed out again after a power cut. False if it can't be.
    ///
    /// Each later time costs a write. To cover some times ahead would save most of them, but whatever others fire at those
    /// times would be lost to the next start.
    pub async fn cover(&mut self, ltime: u64) -> bool {
        if ltime <= self.floor {
            return true;
        }
        self.floor = ltime;
        self.store(FLOOR, ltime).await
    }

    async fn fetch(&mut self, key: u8) -> u64 {
        let config = MapConfig::<&mut F>::new(self.range.clone());
        let mut map = MapStorage::<u8, _, _>::new(&mut self.flash, config, Cache::new_uncached());
        map.fetch_item::<u64>(&mut [0; 32], &key).await.ok().flatten().unwrap_or(0)
    }

    async fn store(&mut self, key: u8, value: u64) -> bool {
        let config = MapConfig::<&mut F>::new(self.range.clone());
        let mut map = MapStorage::<u8, _, _>::new(&mut self.flash, config, Cache::new_uncached());
        map.store_item(&mut [0; 32], &key, &value).await.is_ok()
    }
}
