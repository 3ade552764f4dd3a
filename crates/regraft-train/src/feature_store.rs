//! Features of images, computed once; and where batches come from: images or such features.

use std::fmt;
use std::sync::Arc;

use regraft_data::{Batch, ImageSet, Loader, Skipped};
use regraft_nn::{Activation, Network};
use regraft_spec::FeatureCache;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::feature_folder::{Columns, FeatureFolder, ImageHash, PART_BYTES, from_hex, hex};
use crate::observer::{Event, Observer};
use crate::stop::Stop;

/// [`FeatureCache::Auto`] keeps features in memory up to this many bytes.
const AUTO_LIMIT: u64 = 2 << 30;

/// How features of images come about.
pub struct Features<'a> {
    /// What stands side by side in the features of an image: names and widths.
    pub columns: Vec<(String, usize)>,
    /// The [fingerprint](regraft_nn::fingerprint) of the network that gives them, where features are kept in a folder.
    pub network: Option<(&'a FeatureFolder, String)>,
    /// Gives features `[N, width]` of pixels `[N, H, W, C]`, row by row; the shape is N, C, H, W.
    pub of: &'a Extract<'a>,
}

type Extract<'a> = dyn Fn(Vec<f32>, [usize; 4]) -> Result<Vec<f32>, Error> + 'a;

impl fmt::Debug for Features<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Features")
            .field("columns", &self.columns)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

/// The features of every image of a set, in memory.
///
/// They stay true as long as nothing of the network below them changes.
#[derive(Debug, Clone)]
pub struct FeatureStore {
    /// `[images, values]`, row by row, in the order of the set.
    values: Vec<f32>,
    /// Values of one image.
    width: usize,
    /// Label of every image of the set.
    labels: Vec<usize>,
    /// Row of each image; images that could not be decoded have none.
    row: Vec<Option<usize>>,
}

impl FeatureStore {
    /// Computes the features of every image of `loader`'s set, or reads those that a folder has.
    ///
    /// The same bytes come out either way. What was computed is in the folder even where the pass was cut off.
    ///
    /// # Errors
    /// When an image cannot be decoded (and is not to be skipped), the network cannot run or gives something that is no
    /// finite number, or somebody asked to stop.
    pub fn compute(
        features: &Features<'_>,
        loader: &Loader,
        stop: &Stop,
        observer: &mut dyn Observer,
    ) -> Result<Self, Error> {
        let samples = &loader.set().samples;
        let width = features.columns.iter().map(|(_, width)| width).sum();
        let mut store = Self {
            values: vec![0.0; samples.len() * width],
            width,
            labels: samples.iter().map(|sample| sample.label).collect(),
            row: vec![None; samples.len()],
        };
        match &features.network {
            None => store.fill(features, loader, None, 0, stop, observer)?,
            Some((folder, network)) => {
                let keeping = Keeping::new(folder, network, loader, observer);
                store.fill_kept(features, loader, keeping, stop, observer)?;
            }
        }
        store.close_gaps();
        Ok(store)
    }

    /// Takes what the folder has, computes the rest and adds it to the folder.
    fn fill_kept(
        &mut self,
        features: &Features<'_>,
        loader: &Loader,
        mut keeping: Keeping<'_>,
        stop: &Stop,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let wanted = keeping.hashes.iter().flatten().copied().collect();
        let known = keeping
            .folder
            .known(&keeping.network, &features.columns, &wanted);
        let mut missing = Vec::new();
        for (index, hash) in keeping.hashes.iter().enumerate() {
            match hash.as_ref().and_then(|hash| known.get(hash)) {
                Some(row) => {
                    self.values[index * self.width..][..self.width].copy_from_slice(row);
                    self.row[index] = Some(index);
                }
                None => missing.push(index),
            }
        }
        let done = self.row.len() - missing.len();
        if done > 0 {
            observer.observe(&Event::Note(&format!(
                "features of {done} of {} images were kept from before",
                self.row.len()
            )));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let samples = &loader.set().samples;
        let rest = ImageSet {
            samples: missing.iter().map(|&at| samples[at].clone()).collect(),
            ..loader.set().clone()
        };
        let rest = Loader::new(rest, loader.options().clone())?;
        keeping.missing = missing;
        let filled = self.fill(features, &rest, Some(&mut keeping), done, stop, observer);
        // What a pass that is cut off has come to is of use to the next one.
        keeping.flush(self, &features.columns, observer);
        filled
    }

    /// Runs a set's images through the network; `done` images are there already.
    fn fill(
        &mut self,
        features: &Features<'_>,
        loader: &Loader,
        mut keeping: Option<&mut Keeping<'_>>,
        mut done: usize,
        stop: &Stop,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let total = self.row.len();
        for batch in loader.in_order() {
            stop.check()?;
            let batch = batch?;
            let place = |index: usize| match &keeping {
                Some(keeping) => keeping.missing[index],
                None => index,
            };
            for skipped in &batch.skipped {
                let skipped = Skipped {
                    index: place(skipped.index),
                    ..skipped.clone()
                };
                observer.observe(&Event::Skipped(&skipped));
            }
            done += batch.indices.len() + batch.skipped.len();
            if !batch.indices.is_empty() {
                let places: Vec<usize> = batch.indices.iter().map(|&at| place(at)).collect();
                let values = (features.of)(batch.pixels, batch.shape)?;
                if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                    let row = at / self.width.max(1);
                    let sample = &loader.set().samples[batch.indices[row]];
                    return Err(Error::FeaturesNotFinite {
                        index: places[row],
                        path: sample.path.clone(),
                    });
                }
                for (index, row) in places.iter().zip(values.chunks_exact(self.width.max(1))) {
                    self.values[index * self.width..][..self.width].copy_from_slice(row);
                    self.row[*index] = Some(*index);
                }
                if let Some(keeping) = &mut keeping {
                    keeping.pending.extend(places);
                    if 4 * self.width * keeping.pending.len() >= PART_BYTES {
                        keeping.flush(self, &features.columns, observer);
                    }
                }
            }
            observer.observe(&Event::Features { done, total });
        }
        Ok(())
    }

    /// Moves rows together where images have none.
    fn close_gaps(&mut self) {
        let mut rows = 0;
        for index in 0..self.row.len() {
            if self.row[index].is_some() {
                if rows < index {
                    let from = index * self.width;
                    self.values
                        .copy_within(from..from + self.width, rows * self.width);
                }
                self.row[index] = Some(rows);
                rows += 1;
            }
        }
        self.values.truncate(rows * self.width);
    }

    /// Values of one image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Positions in the set of the images with features, in order.
    pub fn images(&self) -> Vec<usize> {
        let rows = self.row.iter().enumerate();
        rows.filter_map(|(index, row)| row.map(|_| index)).collect()
    }

    /// The features `[rows, width]` of those images.
    pub fn into_values(self) -> Vec<f32> {
        self.values
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

/// A pass over images whose features go to a folder.
struct Keeping<'a> {
    folder: &'a FeatureFolder,
    /// Names the network and how an image reaches it.
    network: String,
    /// Of every image of the set; none where it could not be read.
    hashes: Vec<Option<ImageHash>>,
    /// Images of the set that the folder has not.
    missing: Vec<usize>,
    /// Images with features that are not in the folder yet.
    pending: Vec<usize>,
}

impl<'a> Keeping<'a> {
    fn new(
        folder: &'a FeatureFolder,
        network: &str,
        loader: &Loader,
        observer: &mut dyn Observer,
    ) -> Self {
        let samples: Vec<&regraft_data::Sample> = loader.set().samples.iter().collect();
        let hashes = regraft_data::hashes(&samples, &mut |done, total| {
            observer.observe(&Event::Reading { done, total });
        });
        let mut digest = Sha256::new();
        digest.update(network);
        digest.update(format!("{:?}", loader.options().preprocess));
        Self {
            folder,
            network: hex(&digest.finalize()),
            hashes: hashes.iter().map(|hash| from_hex(hash)).collect(),
            missing: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Writes what is pending. Features are in memory too, so that a folder that cannot be written to costs the next run
    /// its time, and this one nothing.
    fn flush(&mut self, store: &FeatureStore, columns: &Columns, observer: &mut dyn Observer) {
        let mut images = Vec::new();
        let mut values = Vec::new();
        for index in std::mem::take(&mut self.pending) {
            if let Some(hash) = self.hashes[index] {
                images.push(hash);
                values.extend_from_slice(&store.values[index * store.width..][..store.width]);
            }
        }
        if images.is_empty() {
            return;
        }
        if let Err(error) = self.folder.put(&self.network, columns, &images, &values) {
            observer.observe(&Event::Note(&format!(
                "features are not kept in `{}`: {error}",
                self.folder.root.display()
            )));
        }
    }
}

/// A split to draw batches from.
#[derive(Debug, Clone)]
pub struct Source {
    loader: Loader,
    store: Option<Stored>,
}

/// Features at a cut.
#[derive(Debug, Clone)]
struct Stored {
    /// First node above the cut.
    cut: usize,
    features: Arc<FeatureStore>,
}

impl Source {
    /// Every batch from images.
    pub fn images(loader: Loader) -> Self {
        Self {
            loader,
            store: None,
        }
    }

    /// Features where the trunk gives the same for an image in every epoch and they fit, images otherwise. `folder` is where
    /// [`FeatureCache::Disk`] keeps them.
    ///
    /// # Errors
    /// As [`FeatureStore::compute`].
    pub fn new(
        network: &Network,
        loader: Loader,
        mode: FeatureCache,
        folder: Option<&FeatureFolder>,
        stop: &Stop,
        observer: &mut dyn Observer,
    ) -> Result<Self, Error> {
        let mut source = Self::images(loader);
        source.enter(network, mode, folder, stop, observer)?;
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
        folder: Option<&FeatureFolder>,
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
            let folder = folder.filter(|_| mode == FeatureCache::Disk);
            let features = Features {
                columns: network.feature_columns(),
                network: folder.map(|folder| (folder, network.trunk_fingerprint())),
                of: &|pixels, shape| {
                    Ok(network.features_of_pixels(pixels, shape)?.into_values()?)
                },
            };
            let features = FeatureStore::compute(&features, &self.loader, stop, observer)?;
            self.store = Some(Stored {
                cut: network.cut(),
                features: Arc::new(features),
            });
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
            FeatureCache::Memory | FeatureCache::Disk => true,
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
        let Some(Stored { features, .. }) = &self.store else {
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
        Box::new(
            chunks
                .into_iter()
                .map(|indices| Ok(features.draw(&indices))),
        )
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
