//! A data set: labelled images, in splits.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use crate::decode::{Decoded, decode};
use crate::error::Error;
use crate::packed::IdxImages;
use crate::planes::{Planes, decode_planes};

/// One labelled image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The file.
    pub path: PathBuf,
    /// Which of the file's images, where it holds many.
    pub packed: Option<Packed>,
    /// Index into the set's classes.
    pub label: usize,
}

/// An image among those of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// All of them.
    pub images: Arc<IdxImages>,
    /// Its place among them, from 0.
    pub position: usize,
}

impl Sample {
    /// Its pixels.
    ///
    /// # Errors
    /// When its file cannot be decoded.
    pub fn decode(&self) -> Result<Decoded, Error> {
        let Some(Packed { images, position }) = &self.packed else {
            return decode(&self.path);
        };
        images.image(*position).ok_or_else(|| Error::BadImage {
            path: self.path.clone(),
            reason: format!("it has no image {position}"),
        })
    }
}

impl Sample {
    /// Its channels, as the file stores them.
    ///
    /// # Errors
    /// When its file cannot be decoded, or has another number of channels.
    pub fn decode_planes(&self, channels: usize) -> Result<Planes, Error> {
        let Some(Packed { images, position }) = &self.packed else {
            return decode_planes(&self.path, channels);
        };
        let bytes = images.bytes(*position).filter(|_| channels == 1);
        let bytes = bytes.ok_or_else(|| Error::BadImage {
            path: self.path.clone(),
            reason: format!("its images have 1 channel, {channels} are wanted"),
        })?;
        Ok(Planes {
            width: images.width,
            height: images.height,
            planes: vec![bytes.iter().map(|&byte| f32::from(byte)).collect()],
        })
    }
}

/// Labelled images, in an order that does not depend on the file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSet {
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Images, by class and then by path or place in their file.
    pub samples: Vec<Sample>,
}

impl ImageSet {
    /// Gives every image the label that its class has among `labels`, which become the set's classes.
    ///
    /// # Errors
    /// With the classes that are none of `labels`; the set is then as it was.
    pub fn relabel(&mut self, labels: &[String]) -> Result<(), Vec<String>> {
        let place = |class: &String| labels.iter().position(|label| label == class);
        let places: Vec<Option<usize>> = self.classes.iter().map(place).collect();
        let strangers: Vec<String> = self
            .classes
            .iter()
            .zip(&places)
            .filter(|(_, place)| place.is_none())
            .map(|(class, _)| class.clone())
            .collect();
        if !strangers.is_empty() {
            return Err(strangers);
        }
        for sample in &mut self.samples {
            if let Some(Some(place)) = places.get(sample.label) {
                sample.label = *place;
            }
        }
        self.classes = labels.to_vec();
        Ok(())
    }
}

/// A data set with its splits.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What is trained on.
    pub train: ImageSet,
    /// What the best epoch is chosen by, where there is one.
    pub validation: Option<ImageSet>,
    /// Whether the validation images were drawn from those that train, and not put apart by whoever made the data.
    pub validation_is_drawn: bool,
    /// What is only measured on, where the folder has one.
    pub test: Option<ImageSet>,
    /// What a person should know of.
    pub warnings: Vec<String>,
}

impl ImageSet {
    /// A hash of paths, sizes, times and labels, for telling one set from another without reading images.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.classes.hash(&mut hasher);
        for sample in &self.samples {
            sample.path.hash(&mut hasher);
            sample.label.hash(&mut hasher);
            sample
                .packed
                .as_ref()
                .map(|packed| packed.position)
                .hash(&mut hasher);
            if let Ok(meta) = sample.path.metadata() {
                meta.len().hash(&mut hasher);
                meta.modified().ok().hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// Number of images of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for sample in &self.samples {
            counts[sample.label] += 1;
        }
        counts
    }
}
