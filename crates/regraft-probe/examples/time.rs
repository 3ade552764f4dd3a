//! Times choosing and solving on made-up features: `time [IMAGES FEATURES CLASSES GROUPS]`. Each image has one class,
//! and in the end the next one too.

use std::ops::Range;
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use regraft_probe::{ChooseOptions, Error, SolveOptions, Targets, choose, solve};

fn main() -> Result<(), Error> {
    let given: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let at = |index: usize, usual| given.get(index).copied().unwrap_or(usual);
    let (images, width, classes, groups) = (at(0, 2000), at(1, 4096), at(2, 10), at(3, 20));
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let labels: Vec<usize> = (0..images).map(|row| row % classes).collect();
    // A column is a little higher for the images of one class.
    let features: Vec<f32> = (0..images * width)
        .map(|at| {
            let (row, column) = (at / width, at % width);
            let own = f32::from(u8::from(column % classes == labels[row]));
            random.random::<f32>() + 0.1 * own
        })
        .collect();
    let columns: Vec<Range<usize>> = (0..groups)
        .map(|group| group * width / groups..(group + 1) * width / groups)
        .collect();
    let sets: Vec<Vec<usize>> = (1..=groups)
        .map(|last| (groups - last..groups).collect())
        .collect();
    let start = Instant::now();
    let choice = choose(
        &features,
        &labels,
        classes,
        &columns,
        &sets,
        &ChooseOptions::default(),
    )?;
    let chosen = &choice.candidates[choice.chosen];
    println!(
        "choosing from {} sets: {:.2} s; {} groups, accuracy {:.3}",
        sets.len(),
        start.elapsed().as_secs_f64(),
        choice.chosen + 1,
        chosen.accuracy
    );
    let start = Instant::now();
    let solved = solve(
        &features,
        &labels,
        classes,
        &columns,
        &SolveOptions::default(),
    )?;
    println!(
        "solving: {:.2} s; accuracy {:.3}, loss {:.3}, strength {}",
        start.elapsed().as_secs_f64(),
        solved.judgement.accuracy,
        solved.judgement.loss,
        solved.strength
    );
    let own = |row: usize, class| class == labels[row] || class == (labels[row] + 1) % classes;
    let truths: Vec<bool> = (0..images * classes)
        .map(|at| own(at / classes, at % classes))
        .collect();
    let start = Instant::now();
    let solved = solve(
        &features,
        Targets::MultiLabel(&truths),
        classes,
        &columns,
        &SolveOptions::default(),
    )?;
    println!(
        "solving for two classes an image: {:.2} s; loss {:.3}, mAP {:.3}",
        start.elapsed().as_secs_f64(),
        solved.judgement.loss,
        solved
            .scores
            .map_or(0.0, |scores| scores.mean_average_precision)
    );
    Ok(())
}
