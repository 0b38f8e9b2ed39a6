//! What two tables compare first: a sum of the members' versions, as one number and by buckets of name hashes.

/// Buckets of name hashes.
pub(crate) const BUCKETS: usize = 32;

/// The sums of a table, which change with each of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    buckets: [u32; BUCKETS],
    root: u32,
}

impl Digest {
    /// Of an empty table.
    pub(crate) const EMPTY: Digest = Digest { buckets: [0; BUCKETS], root: 0 };

    /// Adds what is known of this name, or takes it out again.
    pub(crate) fn toggle(&mut self, name: u32, version: u32) {
        let bucket = bucket(name);
        self.buckets[bucket] ^= version;
        self.root ^= version.rotate_left((BUCKETS - 1 - bucket) as u32);
    }

    /// One number for all.
    pub(crate) fn root(&self) -> u32 {
        self.root
    }

    /// The sum of each bucket.
    pub(crate) fn buckets(&self) -> &[u32; BUCKETS] {
        &self.buckets
    }
}

/// The bucket of a name hash.
pub(crate) fn bucket(name: u32) -> usize {
    name as usize >> (u32::BITS - BUCKETS.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_follows_the_buckets_and_tells_them_apart() {
        let mut digest = Digest::EMPTY;
        let fold =
            |digest: &Digest| digest.buckets.iter().fold(0u32, |root, bucket| root.rotate_left(1) ^ bucket);
        for i in 0..1_000u32 {
            let hash = crate::hash::mix(i as u64);
            digest.toggle((hash >> 32) as u32, hash as u32);
            assert_eq!(digest.root(), fold(&digest));
        }
        let (mut low, mut high) = (Digest::EMPTY, Digest::EMPTY);
        low.toggle(0, 7);
        high.toggle(u32::MAX, 7);
        assert_ne!(low.root(), high.root(), "the same version under two names");
        low.toggle(0, 7);
        assert_eq!(low, Digest::EMPTY);
    }
}
