//! How long things take, counted in buckets (feature `timings`).

/// How often something took how long: a bucket for each of [`Histogram::BOUNDS`], and one for what took longer. 168 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; Histogram::BOUNDS.len() + 1],
    sum: u64,
}

impl Histogram {
    /// The longest that each bucket counts, in microseconds: from 100 us to 100 s, three steps to each power of ten.
    pub const BOUNDS: [u64; 19] = {
        let (mut bounds, mut power, mut at) = ([0; 19], 100, 0);
        while at < bounds.len() {
            bounds[at] = power * [100, 250, 500][at % 3] / 100;
            at += 1;
            if at % 3 == 0 {
                power *= 10;
            }
        }
        bounds
    };

    /// Counts one more that took so many microseconds.
    pub fn note(&mut self, micros: u64) {
        let bucket = Self::BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(Self::BOUNDS.len());
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(micros);
    }

    /// Each bound with how many took no longer.
    pub fn up_to(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let sums = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        Self::BOUNDS.into_iter().zip(sums)
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all took together, in microseconds.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

/// What a node has timed since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// From a probe to its direct answer.
    pub round_trips: Histogram,
    /// From when an own event was sent first until it had come back from three others (two where it was sent to all at once), or
    /// from all if there are fewer: as long as it is held for them. An own query likewise.
    pub spread: Histogram,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_counts_what_took_no_longer_than_its_bound() {
        let mut histogram = Histogram::default();
        for micros in [0, 100, 101, 250, 2_000_000, 100_000_000, 100_000_001] {
            histogram.note(micros);
        }
        let up_to: Vec<_> = histogram.up_to().collect();
        assert_eq!(up_to[..3], [(100, 2), (250, 4), (500, 4)]);
        assert_eq!(up_to[12..14], [(1_000_000, 4), (2_500_000, 5)]);
        assert_eq!(up_to[17..], [(50_000_000, 5), (100_000_000, 6)]);
        assert_eq!((histogram.count(), histogram.sum()), (7, 202_000_452));
    }
}
