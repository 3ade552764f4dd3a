//! Where batches come from: images, or features that the trunk computed once.

use std::sync::Arc;

use regraft_data::{Batch, Loader, Skipped};
use regraft_nn::{Activation, Network};
use regraft_spec::FeatureCache;

use crate::error::Error;
use crate::observer::{Event, Observer};
use crate::stop::Stop;

/// [`FeatureCache::Auto`] keeps features in memory up to this many bytes.
const AUTO_LIMIT: u64 = 2 << 30;

/// The activations at a cut of every image of a set, in memory.
///
/// They stay true as long as nothing below the cut changes.
#[derive(Debug)]
pub struct FeatureStore {
    /// First node above the cut.
    cut: usize,
    /// `[images, values]`, row by row.
    values: Vec<f32>,
    /// Values of one image.
    width: usize,
    labels: Vec<usize>,
    /// Row of each image; images that could not be decoded have none.
    row: Vec<Option<usize>>,
}

impl FeatureStore {
    /// Runs every image of `loader`'s set through the trunk once.
    ///
    /// # Errors
    /// When an image cannot be decoded (and is not to be skipped), the trunk cannot run, or somebody asked to stop.
    pub fn compute(
        network: &Network,
        loader: &Loader,
        stop: &Stop,
        observer: &mut dyn Observer,
    ) -> Result<Self, Error> {
        let total = loader.set().samples.len();
        let width = network.feature_shape().iter().product();
        let mut store = Self {
            cut: network.cut(),
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
                observer.observe(&Event::Skipped(skipped));
            }
            done += batch.indices.len() + batch.skipped.len();
            if batch.shape[0] > 0 {
                for index in &batch.indices {
                    store.row[*index] = Some(store.rows());
                    store.values.resize(store.values.len() + width, 0.0);
                }
                let first = store.values.len() - batch.indices.len() * width;
                let features = network
                    .features_of_pixels(batch.pixels, batch.shape)?
                    .into_values()?;
                store.values[first..].copy_from_slice(&features);
            }
            observer.observe(&Event::Features { done, total });
        }
        Ok(store)
    }

    /// Images with features.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// The features of an image by its position in the set; none where it could not be decoded.
    pub fn features(&self, index: usize) -> Option<&[f32]> {
        let row = self.row.get(index).copied().flatten()?;
        self.values.get(row * self.width..(row + 1) * self.width)
    }

    fn draw(&self, indices: &[usize]) -> Drawn {
        let mut values = Vec::with_capacity(indices.len() * self.width);
        let mut present = Vec::with_capacity(indices.len());
        for &index in indices {
            if let Some(features) = self.features(index) {
                values.extend_from_slice(features);
                present.push(index);
            }
        }
        Drawn::Features {
            values,
            labels: present.iter().map(|&index| self.labels[index]).collect(),
            indices: present,
        }
    }
}

/// A split to draw batches from.
#[derive(Debug, Clone)]
pub struct Source {
    loader: Loader,
    store: Option<Arc<FeatureStore>>,
}

impl Source {
    /// Every batch from images.
    pub fn images(loader: Loader) -> Self {
        Self {
            loader,
            store: None,
        }
    }

    /// Features where the trunk gives the same for an image in every epoch and they fit, images otherwise.
    ///
    /// # Errors
    /// As [`FeatureStore::compute`].
    pub fn new(
        network: &Network,
        loader: Loader,
        mode: FeatureCache,
        stop: &Stop,
        observer: &mut dyn Observer,
    ) -> Result<Self, Error> {
        let mut source = Self::images(loader);
        source.enter(network, mode, stop, observer)?;
        Ok(source)
    }

    /// Makes the source fit a network with another cut: what is stored for the same cut is kept.
    ///
    /// # Errors
    /// As [`FeatureStore::compute`].
    pub fn enter(
        &mut self,
        network: &Network,
        mode: FeatureCache,
        stop: &Stop,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        if self
            .store
            .as_ref()
            .is_some_and(|store| store.cut == network.cut())
        {
            return Ok(());
        }
        // The old features go before the new ones come: both at once would be the most memory of the run.
        self.store = None;
        if Self::caches(network, &self.loader, mode) {
            let store = FeatureStore::compute(network, &self.loader, stop, observer)?;
            self.store = Some(Arc::new(store));
        }
        Ok(())
    }

    /// Whether features would be kept.
    pub(crate) fn caches(network: &Network, loader: &Loader, mode: FeatureCache) -> bool {
        let width: usize = network.feature_shape().iter().product();
        let bytes = 4 * width as u64 * loader.set().samples.len() as u64;
        let wanted = match mode {
            FeatureCache::Off => false,
            FeatureCache::Auto => bytes <= AUTO_LIMIT,
            FeatureCache::Memory => true,
        };
        wanted && network.has_trunk() && !loader.options().augment.is_random()
    }

    /// Whether batches come from stored features.
    pub fn is_stored(&self) -> bool {
        self.store.is_some()
    }

    pub(crate) fn loader(&self) -> &Loader {
        &self.loader
    }

    /// The epoch's batches from `first` (counted from 0) on, in the same order from images and from stored features.
    pub(crate) fn epoch(
        &self,
        epoch: usize,
        first: usize,
    ) -> Box<dyn Iterator<Item = Result<Drawn, Error>> + '_> {
        let Some(store) = &self.store else {
            return Box::new(
                self.loader
                    .epoch_from(epoch, first)
                    .map(|batch| Ok(Drawn::Images(batch?))),
            );
        };
        let chunks: Vec<Vec<usize>> = self
            .loader
            .order(epoch)
            .chunks(self.loader.options().batch_size)
            .skip(first)
            .map(<[usize]>::to_vec)
            .collect();
        Box::new(chunks.into_iter().map(|indices| Ok(store.draw(&indices))))
    }
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

    /// Cuts the batch into so many parts of neighbours, as equal as can be; parts without an image are left out.
    pub(crate) fn split(self, parts: usize) -> Vec<Self> {
        let count = self.labels().len();
        if parts <= 1 || count <= 1 {
            return vec![self];
        }
        let (values, labels, indices) = match &self {
            Self::Images(batch) => (&batch.pixels, &batch.labels, &batch.indices),
            Self::Features {
                values,
                labels,
                indices,
            } => (values, labels, indices),
        };
        let width = values.len() / count;
        (0..parts)
            .map(|part| part * count / parts..(part + 1) * count / parts)
            .filter(|rows| !rows.is_empty())
            .map(|rows| {
                let values = values[rows.start * width..rows.end * width].to_vec();
                let labels = labels[rows.clone()].to_vec();
                let indices = indices[rows].to_vec();
                match &self {
                    Self::Images(batch) => {
                        let [_, channels, height, width] = batch.shape;
                        Self::Images(Batch {
                            shape: [labels.len(), channels, height, width],
                            pixels: values,
                            labels,
                            indices,
                            skipped: Vec::new(),
                        })
                    }
                    Self::Features { .. } => Self::Features {
                        values,
                        labels,
                        indices,
                    },
                }
            })
            .collect()
    }

    /// The activations at the cut.
    pub(crate) fn features(self, network: &Network) -> Result<Activation, Error> {
        Ok(match self {
            Self::Images(batch) => network.features_of_pixels(batch.pixels, batch.shape)?,
            Self::Features { values, labels, .. } => {
                network.cached_features(values, labels.len())?
            }
        })
    }
}
