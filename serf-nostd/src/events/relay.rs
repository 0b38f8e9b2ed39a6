//! Which messages about members that are not held have been passed on of late: each once only.

use crate::time::{Duration, Instant};

/// How long a message is remembered at least.
const KEPT: Duration = Duration::from_secs(30);
const WORDS: usize = 16;

/// Two Bloom filters of 512 bits, a new one every half minute. A false "passed on already" only means that others pass
/// it on; when there is more than they can tell apart, less is passed on, not more.
pub(crate) struct RelayFilter {
    recent: [u32; WORDS],
    before: [u32; WORDS],
    since: Instant,
}

impl RelayFilter {
    pub(crate) const fn new(now: Instant) -> Self {
        RelayFilter { recent: [0; WORDS], before: [0; WORDS], since: now }
    }

    /// Whether a message with this hash has not been met of late; it has, from now on.
    pub(crate) fn is_news(&mut self, hash: u64, now: Instant) -> bool {
        if now.since(self.since) >= KEPT {
            self.before = core::mem::replace(&mut self.recent, [0; WORDS]);
            self.since = now;
        }
        let places = [hash as usize, (hash >> 32) as usize].map(|h| (h / 32 % WORDS, 1u32 << (h % 32)));
        let met = |filter: &[u32; WORDS]| places.iter().all(|(word, bit)| filter[*word] & bit != 0);
        let known = met(&self.recent) || met(&self.before);
        for (word, bit) in places {
            self.recent[word] |= bit;
        }
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash;

    #[test]
    fn a_message_is_passed_on_once_and_again_when_it_has_not_been_met_for_a_minute() {
        let at = |secs: u64| Instant::from_millis(1_000 * secs);
        let mut filter = RelayFilter::new(at(0));
        let hash = hash::bytes(b"alive");
        assert!(filter.is_news(hash, at(1)));
        assert!(!filter.is_news(hash, at(2)) && !filter.is_news(hash, at(29)));
        assert!(!filter.is_news(hash, at(31)), "the one before is remembered as well");
        assert!(filter.is_news(1, at(62)) && filter.is_news(2 << 32 | 2, at(93)));
        assert!(filter.is_news(hash, at(94)));
        let news = (0..100u64).filter(|i| filter.is_news(hash::mix(*i), at(300))).count();
        assert!(news > 90, "{news} of 100 are told apart");
    }
}
