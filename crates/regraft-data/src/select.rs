//! Part of a data set: some of its classes, or some of the images of each.

use crate::dataset::{Dataset, ImageSet, Sample};
use crate::error::{Error, some};
use crate::random::order;

/// What to use of a data set; by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The classes to use, in the order of their labels.
    pub classes: Option<Vec<String>>,
    /// Most training images of a class, before any are held out for validation; a draw by the seed, of which a smaller
    /// number takes a part.
    pub per_class: Option<usize>,
}

impl Selection {
    /// The selected part of a data set that has not been split yet. Validation and test images of the selected classes
    /// are all kept.
    pub(crate) fn apply(&self, data: Dataset, seed: u64) -> Result<Dataset, Error> {
        let Dataset {
            train,
            validation,
            test,
            warnings,
            validation_is_drawn,
        } = data;
        let train = match self.per_class {
            Some(0) => {
                return Err(Error::Selection {
                    reason: "`per_class` is 0, expected at least 1 image".to_owned(),
                });
            }
            Some(most) => limit(train, most, seed),
            None => train,
        };
        Ok(Dataset {
            train: self.pick(train)?,
            validation: validation.map(|set| self.pick(set)).transpose()?,
            test: test.map(|set| self.pick(set)).transpose()?,
            validation_is_drawn,
            warnings,
        })
    }

    fn pick(&self, set: ImageSet) -> Result<ImageSet, Error> {
        let Some(classes) = &self.classes else {
            return Ok(set);
        };
        let fault = |reason: String| Error::Selection { reason };
        if classes.len() < 2 {
            return Err(fault(format!(
                "`classes` names {}, expected at least 2",
                classes.len()
            )));
        }
        let mut labels = vec![None; set.classes.len()];
        for (label, class) in classes.iter().enumerate() {
            let place = set.classes.iter().position(|known| known == class);
            let place = place.ok_or_else(|| {
                fault(format!(
                    "`classes` names `{class}`, which the data has not; it has {}",
                    some(&set.classes)
                ))
            })?;
            if labels[place].replace(label).is_some() {
                return Err(fault(format!("`classes` names `{class}` twice")));
            }
        }
        let mut samples: Vec<Sample> = set
            .samples
            .into_iter()
            .filter_map(|sample| {
                let label = labels[sample.label]?;
                Some(Sample { label, ..sample })
            })
            .collect();
        samples.sort_by_key(|sample| sample.label);
        Ok(ImageSet {
            classes: classes.clone(),
            samples,
        })
    }
}

/// At most `most` images of each class, in the set's order.
fn limit(set: ImageSet, most: usize, seed: u64) -> ImageSet {
    let mut chosen = vec![false; set.samples.len()];
    for label in 0..set.classes.len() {
        let places: Vec<usize> = (0..set.samples.len())
            .filter(|&place| set.samples[place].label == label)
            .collect();
        // The label takes the place of an epoch: each class has its own draw.
        for index in order(places.len(), seed, label, true)
            .into_iter()
            .take(most)
        {
            chosen[places[index]] = true;
        }
    }
    let samples = set.samples.into_iter().zip(chosen);
    ImageSet {
        classes: set.classes,
        samples: samples
            .filter_map(|(sample, chosen)| chosen.then_some(sample))
            .collect(),
    }
}
