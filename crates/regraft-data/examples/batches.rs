//! Prints what is in a folder of images and how fast it loads.

use std::time::Instant;

use regraft_data::*;

fn main() -> Result<(), Error> {
    let folder = std::env::args().nth(1).unwrap_or("models/emoji".to_owned());
    let options = OpenOptions {
        validation: 0.2,
        seed: 42,
    };
    let data = open(folder.as_ref(), &options)?;
    for (class, count) in data.train.classes.iter().zip(data.train.counts()) {
        println!("{class:20} {count:5} images to train on");
    }
    let loader = Loader::new(data.train, LoaderOptions::default())?;
    let start = Instant::now();
    let mut images = 0;
    for batch in loader.epoch(0) {
        images += batch?.labels.len();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{images} images in {seconds:.2} s");
    Ok(())
}
