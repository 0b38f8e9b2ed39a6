//! Hashes that every node computes alike: names, event names, digests. Not keyed and not cryptographic.

/// Spreads the bits of `x` (the finaliser of MurmurHash3, public domain, by Austin Appleby).
pub(crate) const fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// 64-bit hash of a byte string (FNV-1a, then [`mix`]).
pub(crate) fn bytes(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(hash)
}

/// What a life of a member fires events under, but for the bits that tell signed ones and queries apart.
pub(crate) fn origin(name: &str, boot: u64) -> u64 {
    mix(bytes(name.as_bytes()) ^ mix(boot))
}

/// The upper half of [`bytes`]: how members are indexed and named in digests.
pub(crate) fn name(name: &str) -> u32 {
    (bytes(name.as_bytes()) >> 32) as u32
}

/// 32-bit hash of a byte string that tells damaged bytes from whole ones: eight bytes at a time, little-endian, the last
/// ones filled up with zeros. `start` goes in before them.
pub(crate) fn words(start: u64, bytes: &[u8]) -> u32 {
    let step = |hash: u64, word: [u8; 8]| {
        let mixed = hash ^ u64::from_le_bytes(word);
        (mixed ^ mixed >> 32).wrapping_mul(0xff51_afd7_ed55_8ccd)
    };
    let (words, rest) = bytes.as_chunks();
    let hash = words.iter().fold(start, |hash, word| step(hash, *word));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    (step(hash, last) >> 32) as u32
}

/// Digests as they are compared: little-endian, one behind the other.
pub(crate) fn digest_bytes<const N: usize, const B: usize>(digests: &[u32; N]) -> [u8; B] {
    let mut bytes = [0; B];
    for (to, digest) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(digests) {
        *to = digest.to_le_bytes();
    }
    bytes
}
