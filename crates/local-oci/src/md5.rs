//! MD5 by RFC 1321, for what Oracle Cloud still uses it: key fingerprints and `content-md5`. Not a safeguard.

/// The digest of `input`.
pub(crate) fn md5(input: &[u8]) -> [u8; 16] {
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let mut padded = input.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(input.len() as u64).wrapping_mul(8).to_le_bytes());
    for block in padded.chunks_exact(64) {
        let mut words = [0_u32; 16];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64 {
            let (mixed, index) = match step / 16 {
                0 => ((b & c) | (!b & d), step),
                1 => ((d & b) | (!d & c), (5 * step + 1) % 16),
                2 => (b ^ c ^ d, (3 * step + 5) % 16),
                _ => (c ^ (b | !d), (7 * step) % 16),
            };
            let sum = a.wrapping_add(mixed).wrapping_add(sine(step)).wrapping_add(words[index]);
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(ROTATIONS[step / 16][step % 4])));
        }
        for (kept, new) in state.iter_mut().zip([a, b, c, d]) {
            *kept = kept.wrapping_add(new);
        }
    }
    let mut digest = [0; 16];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    digest
}

const ROTATIONS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The RFC's table T: the integer part of 2^32 × |sin(step + 1)|.
fn sine(step: usize) -> u32 {
    ((step as f64 + 1.0).sin().abs() * 4_294_967_296.0) as u32
}

#[cfg(test)]
mod tests {
    use super::md5;

    #[test]
    fn the_digests_are_those_of_rfc_1321() {
        let check = |input: &str, hex: &str| {
            let digest: String = md5(input.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, hex, "{input}");
        };
        check("", "d41d8cd98f00b204e9800998ecf8427e");
        check("abc", "900150983cd24fb0d6963f7d28e17f72");
        check("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b");
        // 62 and 80 bytes: the length needs a block of its own, and more than one block.
        check("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f");
        let tens = "1234567890".repeat(8);
        check(&tens, "57edf4a22be3c955ac49da2e2107b67a");
    }

    #[test]
    fn every_length_around_a_block_is_padded_to_whole_blocks() {
        let digests: std::collections::BTreeSet<_> = (50..140).map(|len| md5(&vec![b'x'; len])).collect();
        assert_eq!(digests.len(), 90);
        // 55, 56 and 64 bytes, by md5sum(1).
        let hex = |len| md5(&vec![b'x'; len]).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            [hex(55), hex(56), hex(64)],
            [
                "04364420e25c512fd958a70738aa8f72",
                "668a72d5ba17f08e62dabcafad6db14b",
                "c1bb4f81d892b2d57947682aeb252456"
            ]
        );
    }
}
