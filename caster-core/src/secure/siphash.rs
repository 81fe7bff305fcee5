//! SipHash of 24 bytes: SipHash-1-3 is the hint of a frame, SipHash-2-4 makes challenges.

/// SipHash under a key of 16 bytes, as the reference implementation reads it (little-endian), with so many
/// rounds for each word and at the end.
#[inline]
pub(crate) fn siphash<const WORD: u32, const END: u32>(key: &[u8; 16], data: &[u8; 24]) -> u64 {
    let (k0, k1) = (word(&key[..8]), word(&key[8..]));
    let mut v = [
        k0 ^ 0x736F_6D65_7073_6575,
        k1 ^ 0x646F_7261_6E64_6F6D,
        k0 ^ 0x6C79_6765_6E65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    // The last word has no bytes left to hold, and the length modulo 256 in its highest byte.
    let last = (data.len() as u64) << 56;
    for word in [word(&data[..8]), word(&data[8..16]), word(&data[16..]), last] {
        v[3] ^= word;
        (0..WORD).for_each(|_| round(&mut v));
        v[0] ^= word;
    }
    v[2] ^= 0xFF;
    (0..END).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

#[inline]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hasher};

    #[test]
    #[expect(deprecated, reason = "it is another implementation of the same function")]
    fn it_is_the_function_of_the_standard_library() {
        let mut random = crate::protocol::random::Random::new(1);
        for _ in 0..1000 {
            let words: [u64; 5] = std::array::from_fn(|_| random.next());
            let mut bytes = [0; 40];
            for (at, word) in words.iter().enumerate() {
                bytes[at * 8..][..8].copy_from_slice(&word.to_le_bytes());
            }
            let mut expected = std::hash::SipHasher::new_with_keys(words[0], words[1]);
            expected.write(&bytes[16..]);
            let (key, data) = bytes.split_at(16);
            let got = siphash::<2, 4>(key.try_into().unwrap(), data.try_into().unwrap());
            assert_eq!(got, expected.finish());
            // The one with fewer rounds has no key there.
            let mut expected = DefaultHasher::new();
            expected.write(data);
            let got = siphash::<1, 3>(&[0; 16], data.try_into().unwrap());
            assert_eq!(got, expected.finish());
        }
    }
}
