//! Randomness as a function of what it is for: (seed, epoch, index), whoever asks and when.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The generator for image `index` in `epoch`.
pub fn rng(seed: u64, epoch: usize, index: usize) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(epoch as u64).to_le_bytes());
    key[16..24].copy_from_slice(&(index as u64).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// The order in which `len` images are seen in `epoch`: as they stand, or shuffled (Fisher and Yates).
pub fn order(len: usize, seed: u64, epoch: usize, shuffle: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    if shuffle {
        // No image has this index, so an image's augmentation never shares the order's generator.
        let mut random = rng(seed, epoch, usize::MAX);
        for last in (1..len).rev() {
            order.swap(last, random.random_range(0..=last));
        }
    }
    order
}
