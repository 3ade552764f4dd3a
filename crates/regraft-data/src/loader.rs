//! Batches in a fixed order from several decoding threads.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use regraft_spec::{Augment, Channels, OnBadImage, Preprocess, Sampling};

use crate::augment;
use crate::dataset::ImageSet;
use crate::decode::decode;
use crate::error::Error;
use crate::planes::decode_planes;
use crate::preprocess;
use crate::random::{balanced_order, order, repeated_rng};

/// Most batches decoded ahead.
const MOST_PREFETCH: usize = 64;
/// Threads a core beyond which more of them only get in each other's way.
const THREADS_A_CORE: usize = 4;

/// The threads to start for so many asked for: one a core for 0, and at most four a core.
pub fn usable_threads(asked: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match asked {
        0 => cores,
        asked => asked.min(THREADS_A_CORE * cores),
    }
}

/// How to load.
#[derive(Debug, Clone)]
pub struct LoaderOptions {
    /// How an image becomes numbers.
    pub preprocess: Preprocess,
    /// How training images are varied.
    pub augment: Augment,
    /// Images in a batch, at least 1; the last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// Decides order and augmentation.
    pub seed: u64,
    /// Whether each epoch has its own order. A balanced one always has.
    pub shuffle: bool,
    /// Which images an epoch shows.
    pub sampling: Sampling,
    /// Decoding threads; 0: one a core.
    pub threads: usize,
    /// Batches decoded ahead, at least 1.
    pub prefetch: usize,
    /// What to do with an image that cannot be decoded.
    pub on_bad_image: OnBadImage,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self {
            preprocess: Preprocess::default(),
            augment: Augment::None,
            batch_size: 32,
            seed: 42,
            shuffle: false,
            sampling: Sampling::Shuffle,
            threads: 0,
            prefetch: 2,
            on_bad_image: OnBadImage::Error,
        }
    }
}

/// Images ready for a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// `[N, H, W, C]` values: the order in which decoders give them and in which a compiled trunk reads them.
    pub pixels: Vec<f32>,
    /// N labels.
    pub labels: Vec<usize>,
    /// N positions in the set's samples.
    pub indices: Vec<usize>,
    /// N, C, H, W, whatever the order of the values; N may be 0 where every image was skipped.
    pub shape: [usize; 4],
    /// Images left out because they could not be decoded.
    pub skipped: Vec<Skipped>,
}

/// An image left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Position in the set's samples.
    pub index: usize,
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// Turns a set of images into batches, epoch by epoch.
#[derive(Debug, Clone)]
pub struct Loader {
    set: Arc<ImageSet>,
    options: Arc<LoaderOptions>,
}

impl Loader {
    /// # Errors
    /// When the preprocessing makes no sense, or a sample's label is none of the set's classes.
    pub fn new(set: ImageSet, mut options: LoaderOptions) -> Result<Self, Error> {
        options.preprocess.validate()?;
        // What is kept in flight grows with the batch: no batch holds more than there is.
        options.batch_size = options.batch_size.clamp(1, set.samples.len().max(1));
        options.prefetch = options.prefetch.clamp(1, MOST_PREFETCH);
        options.threads = usable_threads(options.threads);
        if let Some(sample) = set.samples.iter().find(|s| s.label >= set.classes.len()) {
            return Err(Error::Label {
                path: sample.path.clone(),
                label: sample.label,
                classes: set.classes.len(),
            });
        }
        Ok(Self {
            set: Arc::new(set),
            options: Arc::new(options),
        })
    }

    /// The images.
    pub fn set(&self) -> &ImageSet {
        &self.set
    }

    /// How it loads.
    pub fn options(&self) -> &LoaderOptions {
        &self.options
    }

    /// Batches in an epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.set.samples.len().div_ceil(self.options.batch_size)
    }

    /// Positions in the set's samples in the order in which an epoch shows them: as many as there are samples.
    pub fn order(&self, epoch: usize) -> Vec<usize> {
        let LoaderOptions {
            seed,
            shuffle,
            sampling,
            ..
        } = *self.options;
        match sampling {
            Sampling::Shuffle => order(self.set.samples.len(), seed, epoch, shuffle),
            Sampling::Balanced => {
                let labels: Vec<usize> = self.set.samples.iter().map(|s| s.label).collect();
                balanced_order(&labels, seed, epoch)
            }
        }
    }

    /// Starts loading every image once, in the set's order, without augmentation.
    pub fn in_order(&self) -> Batches {
        let options = LoaderOptions {
            shuffle: false,
            sampling: Sampling::Shuffle,
            augment: Augment::None,
            ..(*self.options).clone()
        };
        Self {
            set: self.set.clone(),
            options: Arc::new(options),
        }
        .epoch(0)
    }

    /// Starts loading an epoch. The batches are the same for any number of threads.
    pub fn epoch(&self, epoch: usize) -> Batches {
        self.epoch_from(epoch, 0)
    }

    /// As [`epoch`](Self::epoch), from its batch `first` (counted from 0) on: what is left of an epoch that was
    /// interrupted.
    pub fn epoch_from(&self, epoch: usize, first: usize) -> Batches {
        let order = shown(&self.order(epoch));
        let count = self.batches_per_epoch();
        let threads = self.options.threads.min(self.set.samples.len().max(1));
        // A ticket is one image; a bounded number is out at a time, so memory is bounded.
        let in_flight = self.options.batch_size * (self.options.prefetch + 1);
        let (ticket_sender, tickets) = bounded::<(usize, Shown)>(in_flight);
        let (results, result_receiver) = bounded::<(usize, Loaded)>(in_flight);
        let workers = (0..threads)
            .map(|_| {
                let (set, options) = (self.set.clone(), self.options.clone());
                let (tickets, results) = (tickets.clone(), results.clone());
                std::thread::spawn(move || work(&set, &options, epoch, &tickets, &results))
            })
            .collect();
        let mut batches = Batches {
            loader: self.clone(),
            order,
            next_ticket: (first * self.options.batch_size).min(self.set.samples.len()),
            next_batch: first.min(count),
            count,
            waiting: BTreeMap::new(),
            tickets: Some(ticket_sender),
            results: result_receiver,
            workers,
            in_flight,
            failed: false,
        };
        let done = batches.next_ticket;
        batches.hand_out(done);
        batches
    }
}

/// An image of an epoch.
#[derive(Clone, Copy)]
struct Shown {
    /// Position in the set's samples.
    index: usize,
    /// How often the epoch has shown it before: each time it is varied otherwise.
    time: u64,
}

fn shown(order: &[usize]) -> Vec<Shown> {
    let mut times = vec![0; order.iter().max().map_or(0, |most| most + 1)];
    let shown = order.iter().map(|&index| {
        times[index] += 1;
        Shown {
            index,
            time: times[index] - 1,
        }
    });
    shown.collect()
}

/// One image's values, or why there are none.
type Loaded = Result<Vec<f32>, Error>;

fn work(
    set: &ImageSet,
    options: &LoaderOptions,
    epoch: usize,
    tickets: &Receiver<(usize, Shown)>,
    results: &Sender<(usize, Loaded)>,
) {
    for (position, Shown { index, time }) in tickets {
        let random = &mut repeated_rng(options.seed, epoch, index, time);
        let (augment, preprocess) = (options.augment, &options.preprocess);
        let sample = &set.samples[index];
        let loaded = match preprocess.channels {
            Channels::Stored(channels) => sample
                .decode_planes(channels as usize)
                .and_then(|image| augment::apply_planes(augment, &image, preprocess, random)),
            _ => sample
                .decode()
                .and_then(|image| augment::apply(augment, &image, preprocess, random)),
        };
        if results.send((position, loaded)).is_err() {
            return;
        }
    }
}

/// An epoch's batches, in order. Dropping it stops the threads.
pub struct Batches {
    loader: Loader,
    order: Vec<Shown>,
    next_ticket: usize,
    next_batch: usize,
    count: usize,
    /// Images that came before their turn.
    waiting: BTreeMap<usize, Loaded>,
    tickets: Option<Sender<(usize, Shown)>>,
    results: Receiver<(usize, Loaded)>,
    workers: Vec<JoinHandle<()>>,
    in_flight: usize,
    failed: bool,
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("batch", &self.next_batch)
            .field("of", &self.count)
            .finish_non_exhaustive()
    }
}

impl Batches {
    /// Gives out tickets up to the bound past `done` images.
    fn hand_out(&mut self, done: usize) {
        let Some(tickets) = &self.tickets else { return };
        while self.next_ticket < self.order.len() && self.next_ticket < done + self.in_flight {
            if tickets
                .send((self.next_ticket, self.order[self.next_ticket]))
                .is_err()
            {
                return;
            }
            self.next_ticket += 1;
        }
        if self.next_ticket == self.order.len() {
            self.tickets = None;
        }
    }

    fn assemble(&mut self) -> Result<Batch, Error> {
        let options = self.loader.options.clone();
        let first = self.next_batch * options.batch_size;
        let last = (first + options.batch_size).min(self.order.len());
        let [height, width] = options.preprocess.size.sides();
        let channels = options.preprocess.channel_count();
        let mut batch = Batch {
            pixels: Vec::with_capacity((last - first) * channels * height * width),
            labels: Vec::new(),
            indices: Vec::new(),
            shape: [0, channels, height, width],
            skipped: Vec::new(),
        };
        for position in first..last {
            let loaded = loop {
                if let Some(loaded) = self.waiting.remove(&position) {
                    break loaded;
                }
                let (arrived, loaded) = self.results.recv().map_err(|_| Error::Worker)?;
                self.waiting.insert(arrived, loaded);
            };
            let index = self.order[position].index;
            let sample = &self.loader.set.samples[index];
            match loaded {
                Ok(values) => {
                    batch.pixels.extend_from_slice(&values);
                    batch.labels.push(sample.label);
                    batch.indices.push(index);
                }
                Err(Error::BadImage { path, reason })
                    if options.on_bad_image == OnBadImage::Skip =>
                {
                    batch.skipped.push(Skipped {
                        index,
                        path,
                        reason,
                    });
                }
                Err(error) => return Err(error),
            }
            self.hand_out(position + 1);
        }
        batch.shape[0] = batch.labels.len();
        Ok(batch)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.next_batch == self.count {
            return None;
        }
        let batch = self.assemble();
        self.failed = batch.is_err();
        self.next_batch += 1;
        Some(batch)
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // Without tickets and with nobody to take results, every worker ends after the image in hand.
        self.tickets = None;
        let (_, closed) = bounded(0);
        self.results = closed;
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// One image for prediction: `[height, width, C]`.
///
/// # Errors
/// When it cannot be decoded.
pub fn load_image(path: &Path, preprocess: &Preprocess) -> Result<Vec<f32>, Error> {
    match preprocess.channels {
        Channels::Stored(channels) => {
            preprocess::apply_planes(preprocess, &decode_planes(path, channels as usize)?)
        }
        _ => preprocess::apply(preprocess, &decode(path)?),
    }
}
