//! Where batches come from: images, or features that the trunk computed once.

use std::sync::Arc;

use regraft_data::{Batch, Loader, Skipped, order};
use regraft_nn::{Activation, Network};
use regraft_recipe::FeatureCache as Mode;

use crate::error::Error;
use crate::event::Event;
use crate::trainer::Stop;

/// `auto` keeps features in memory up to this many bytes.
const AUTO_LIMIT: u64 = 2 << 30;

/// The activations at the cut of every image of a set, in memory.
#[derive(Debug)]
pub(crate) struct FeatureCache {
    /// `[images, values]`, row by row.
    values: Vec<f32>,
    /// Values of one image.
    width: usize,
    labels: Vec<usize>,
    /// Images that could not be decoded have no row.
    row: Vec<Option<usize>>,
}

/// A split to draw batches from.
pub(crate) enum Source {
    Images(Loader),
    Features {
        cache: Arc<FeatureCache>,
        loader: Loader,
    },
}

/// A batch before it reaches the cut.
pub(crate) enum Drawn {
    Images(Batch),
    Features {
        values: Vec<f32>,
        labels: Vec<usize>,
        indices: Vec<usize>,
    },
}

impl FeatureCache {
    /// Runs every image of `loader`'s set through the trunk once.
    ///
    /// # Errors
    /// When an image cannot be decoded (and is not to be skipped), the trunk cannot run, or somebody asked to stop.
    pub(crate) fn compute(
        network: &Network,
        loader: &Loader,
        stop: &Stop,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Self, Error> {
        let total = loader.set().samples.len();
        let width = network.feature_shape().iter().product();
        let mut cache = Self {
            values: Vec::with_capacity(total * width),
            width,
            labels: loader
                .set()
                .samples
                .iter()
                .map(|sample| sample.label)
                .collect(),
            row: vec![None; total],
        };
        let mut done = 0;
        for batch in loader.in_order() {
            stop.check()?;
            let batch = batch?;
            for skipped in &batch.skipped {
                tell(Event::Skipped(skipped));
            }
            done += batch.indices.len() + batch.skipped.len();
            if batch.shape[0] > 0 {
                for index in &batch.indices {
                    cache.row[*index] = Some(cache.rows());
                    cache.values.resize(cache.values.len() + width, 0.0);
                }
                let first = cache.values.len() - batch.indices.len() * width;
                let features = network.features(batch.pixels, batch.shape)?.into_values()?;
                cache.values[first..].copy_from_slice(&features);
            }
            tell(Event::Features { done, total });
        }
        Ok(cache)
    }

    fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    fn draw(&self, indices: &[usize]) -> Drawn {
        let present: Vec<(usize, usize)> = indices
            .iter()
            .filter_map(|&index| self.row[index].map(|row| (index, row)))
            .collect();
        let mut values = Vec::with_capacity(present.len() * self.width);
        for &(_, row) in &present {
            values.extend_from_slice(&self.values[row * self.width..(row + 1) * self.width]);
        }
        Drawn::Features {
            values,
            labels: present
                .iter()
                .map(|&(index, _)| self.labels[index])
                .collect(),
            indices: present.iter().map(|&(index, _)| index).collect(),
        }
    }
}

impl Source {
    /// Features where the trunk gives the same for an image in every epoch and they fit, images otherwise.
    pub(crate) fn new(
        network: &Network,
        loader: Loader,
        mode: Mode,
        stop: &Stop,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Self, Error> {
        if !Self::caches(network, &loader, mode) {
            return Ok(Self::Images(loader));
        }
        let cache = Arc::new(FeatureCache::compute(network, &loader, stop, tell)?);
        Ok(Self::Features { cache, loader })
    }

    /// Whether features would be kept.
    pub(crate) fn caches(network: &Network, loader: &Loader, mode: Mode) -> bool {
        let width: usize = network.feature_shape().iter().product();
        let bytes = 4 * width as u64 * loader.set().samples.len() as u64;
        let wanted = match mode {
            Mode::Off => false,
            Mode::Auto => bytes <= AUTO_LIMIT,
            Mode::Memory => true,
        };
        wanted && network.has_trunk() && !loader.options().augment.is_random()
    }

    pub(crate) fn loader(&self) -> &Loader {
        match self {
            Self::Images(loader) | Self::Features { loader, .. } => loader,
        }
    }

    /// The epoch's batches from `first` (counted from 0) on, in the same order from either kind.
    pub(crate) fn epoch(
        &self,
        epoch: usize,
        first: usize,
    ) -> Box<dyn Iterator<Item = Result<Drawn, Error>> + '_> {
        match self {
            Self::Images(loader) => Box::new(
                loader
                    .epoch_from(epoch, first)
                    .map(|batch| Ok(Drawn::Images(batch?))),
            ),
            Self::Features { cache, loader } => {
                let options = loader.options();
                let order = order(
                    loader.set().samples.len(),
                    options.seed,
                    epoch,
                    options.shuffle,
                );
                let chunks: Vec<Vec<usize>> = order
                    .chunks(options.batch_size)
                    .skip(first)
                    .map(<[usize]>::to_vec)
                    .collect();
                Box::new(chunks.into_iter().map(|indices| Ok(cache.draw(&indices))))
            }
        }
    }
}

impl Drawn {
    pub(crate) fn labels(&self) -> &[usize] {
        match self {
            Self::Images(batch) => &batch.labels,
            Self::Features { labels, .. } => labels,
        }
    }

    pub(crate) fn indices(&self) -> &[usize] {
        match self {
            Self::Images(batch) => &batch.indices,
            Self::Features { indices, .. } => indices,
        }
    }

    pub(crate) fn skipped(&self) -> &[Skipped] {
        match self {
            Self::Images(batch) => &batch.skipped,
            Self::Features { .. } => &[],
        }
    }

    /// The activations at the cut.
    pub(crate) fn features(self, network: &Network) -> Result<Activation, Error> {
        Ok(match self {
            Self::Images(batch) => network.features(batch.pixels, batch.shape)?,
            Self::Features { values, labels, .. } => {
                network.cached_features(values, labels.len())?
            }
        })
    }
}
