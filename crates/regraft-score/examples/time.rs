//! Times the probe on made-up features: `time [IMAGES FEATURES CLASSES]`.

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use regraft_score::{Error, ProbeOptions, linear_probe};

fn main() -> Result<(), Error> {
    let given: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let at = |index: usize, usual| given.get(index).copied().unwrap_or(usual);
    let (images, width, classes) = (at(0, 2000), at(1, 4096), at(2, 10));
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let features: Vec<f32> = (0..images * width).map(|_| random.random()).collect();
    let labels: Vec<usize> = (0..images).map(|row| row % classes).collect();
    let start = Instant::now();
    let score = linear_probe(&features, &labels, classes, &ProbeOptions::default())?;
    println!("{score:?}\n{:.2} s", start.elapsed().as_secs_f64());
    Ok(())
}
