//! The fleet's keys in flash: two pages by turns, so that the newest copy that is whole is never touched.

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;
use heapless::Vec;
use serf_nostd::Key;

/// Keys that a board has room for.
const KEYS: usize = 3;

/// A copy: its number, how many keys, the keys, and a checksum of it all; whole words of any flash.
const COPY: usize = 128;
const CHECK: usize = COPY - 8;

/// The pages of a flash that are for keys: its last two.
pub fn pages<F: NorFlash>(flash_range: &Range<u32>) -> Option<Range<u32>> {
    // Three are for what is written with each event.
    let start = flash_range.end.checked_sub(2 * F::ERASE_SIZE as u32)?;
    (start >= flash_range.start + 3 * F::ERASE_SIZE as u32).then_some(start..flash_range.end)
}

/// The keys, the one to seal with first, and the number of their copy.
#[derive(Default)]
pub struct Ring {
    number: u64,
    /// Which page is written next: 0 or 1.
    next: u32,
    pub keys: Vec<Key, KEYS>,
}

impl Ring {
    /// Reads the newest copy that is whole; without one there are no keys. `None` if the flash can't be read.
    pub async fn read<F: NorFlash>(flash: &mut F, pages: &Range<u32>) -> Option<Ring> {
        let mut newest = Ring::default();
        for page in 0..2 {
            let mut copy = [0; COPY];
            flash.read(pages.start + page * F::ERASE_SIZE as u32, &mut copy).await.ok()?;
            if let Some(ring) = Ring::from_copy(&copy)
                && ring.number > newest.number
            {
                newest = Ring { next: 1 - page, ..ring };
            }
        }
        Some(newest)
    }

    /// Writes these keys beside the copy that there is. False if that did not work: then that one counts.
    pub async fn write<'k, F: NorFlash>(
        &mut self,
        flash: &mut F,
        pages: &Range<u32>,
        keys: impl Iterator<Item = &'k Key>,
    ) -> bool {
        let mut copy = [0; COPY];
        copy[..8].copy_from_slice(&(self.number + 1).to_le_bytes());
        let mut count = 0;
        for key in keys {
            let Some(place) = copy[16..CHECK].chunks_exact_mut(Key::LEN).nth(count) else { return false };
            place.copy_from_slice(key.as_bytes());
            count += 1;
        }
        copy[8] = count as u8;
        let check = checksum(&copy[..CHECK]);
        copy[CHECK..].copy_from_slice(&check);
        let page = pages.start + self.next * F::ERASE_SIZE as u32;
        let written = flash.erase(page, page + F::ERASE_SIZE as u32).await.is_ok()
            && flash.write(page, &copy).await.is_ok();
        if written {
            self.number += 1;
            self.next = 1 - self.next;
        }
        written
    }

    fn from_copy(copy: &[u8; COPY]) -> Option<Ring> {
        if copy[CHECK..] != checksum(&copy[..CHECK]) {
            return None;
        }
        let number = u64::from_le_bytes(*copy.first_chunk()?);
        let (keys, _) = copy[16..CHECK].as_chunks();
        let keys = keys.iter().take(copy[8].into()).map(|key| Key::new(*key)).collect();
        Some(Ring { number, next: 0, keys })
    }
}

/// FNV-1a with 64 bits: it tells what was cut off on the way to flash from what is whole.
fn checksum(bytes: &[u8]) -> [u8; 8] {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use embassy_futures::block_on;

    use super::*;
    use crate::flash::{Flash, PAGE, Torn};

    fn key(i: u8) -> Key {
        Key::new([i; 32])
    }

    #[test]
    fn a_power_cut_at_any_moment_leaves_the_old_or_the_new_keys() {
        let range = 0..5 * PAGE as u32;
        let pages = pages::<Flash>(&range).expect("five pages");
        assert_eq!(self::pages::<Flash>(&(0..4 * PAGE as u32)), None, "the numbers have three");
        for torn in [Torn::Zeros, Torn::HalfErased, Torn::Noise(7)] {
            for left in 0..9 {
                let mut flash = Flash::new(5 * PAGE, torn);
                block_on(async {
                    let mut ring = Ring::read(&mut flash, &pages).await.expect("it can be read");
                    assert!(ring.keys.is_empty());
                    let mut kept = 0;
                    flash.left = left;
                    for i in 1..20 {
                        let keys = [key(i), key(i + 1), key(i + 2)];
                        let written = ring.write(&mut flash, &pages, keys[..1 + i as usize % 3].iter()).await;
                        if written {
                            kept = i;
                        } else {
                            break;
                        }
                    }
                    flash.left = 1_000;
                    let mut ring = Ring::read(&mut flash, &pages).await.expect("it can be read");
                    let first = ring.keys.first().map_or(0, |key| key.as_bytes()[0]);
                    assert!(first == kept || first == kept + 1, "{first} after {kept}, {left}, {torn:?}");
                    assert_eq!(ring.keys.len(), if first == 0 { 0 } else { 1 + first as usize % 3 });
                    assert!(ring.write(&mut flash, &pages, [key(99)].iter()).await);
                    let ring = Ring::read(&mut flash, &pages).await.expect("it can be read");
                    assert_eq!(ring.keys, [key(99)]);
                });
            }
        }
    }

    #[test]
    fn more_keys_than_there_is_room_for_are_refused_and_those_of_before_stay() {
        let mut flash = Flash::new(5 * PAGE, Torn::Zeros);
        let pages = 0..2 * PAGE as u32;
        block_on(async {
            let mut ring = Ring::default();
            assert!(ring.write(&mut flash, &pages, [key(1)].iter()).await);
            assert!(!ring.write(&mut flash, &pages, [1, 2, 3, 4].map(key).iter()).await);
            assert_eq!(Ring::read(&mut flash, &pages).await.expect("it can be read").keys, [key(1)]);
        });
    }
}
