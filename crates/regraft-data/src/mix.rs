//! Images of a batch mixed with each other: MixUp and CutMix, a function of (seed, epoch, batch).

use std::ops::Range;

use rand::{Rng, RngExt};
use rand_distr::Beta;

use crate::loader::Batch;
use crate::random::{mixing_rng, shuffled};

/// How the images of a batch are mixed. Where both kinds are on, a batch takes either at even odds, as timm does.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mix {
    /// MixUp (Zhang 2018): two images are blended, the share of one drawn from the Beta distribution with both parameters this.
    /// 0: off.
    pub mixup: f64,
    /// CutMix (Yun 2019): a box of one image is put into another, its share of the area drawn likewise. 0: off.
    pub cutmix: f64,
}

/// What was done to a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixed {
    /// Share of each image that is its own, 0 to 1.
    pub share: f64,
    /// Label of the image that the rest of it comes from, `[N]`.
    pub partners: Vec<usize>,
}

impl Mix {
    /// Whether anything is mixed.
    pub fn is_on(&self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }

    /// Mixes the images of batch `number` of an epoch, counted from 0. None where nothing is mixed.
    ///
    /// One share holds for the whole batch, and each image is the partner of one.
    pub fn apply(
        &self,
        batch: &mut Batch,
        seed: u64,
        epoch: usize,
        number: usize,
    ) -> Option<Mixed> {
        if !self.is_on() || batch.labels.is_empty() {
            return None;
        }
        let mut random = mixing_rng(seed, epoch, number);
        let cuts = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (true, true) => random.random::<bool>(),
            (_, cuts) => cuts,
        };
        let drawn = share(if cuts { self.cutmix } else { self.mixup }, &mut random);
        let mut partners: Vec<usize> = (0..batch.labels.len()).collect();
        shuffled(&mut partners, &mut random);
        let share = match cuts {
            true => cut(batch, &partners, drawn, &mut random),
            false => blend(batch, &partners, drawn),
        };
        let labels = partners.iter().map(|&partner| batch.labels[partner]);
        Some(Mixed {
            share,
            partners: labels.collect(),
        })
    }
}

/// A share from the Beta distribution with both parameters `alpha`.
fn share(alpha: f64, random: &mut impl Rng) -> f64 {
    let drawn = Beta::new(alpha, alpha).map(|beta| random.sample::<f64, _>(beta));
    // With parameters next to zero the distribution is that of a coin, and its formulas have no number any more.
    match drawn {
        Ok(drawn) if drawn.is_finite() => drawn.clamp(0.0, 1.0),
        _ => f64::from(u8::from(random.random::<bool>())),
    }
}

/// Blends each image with its partner's.
fn blend(batch: &mut Batch, partners: &[usize], share: f64) -> f64 {
    let size = batch.pixels.len() / partners.len();
    let original = batch.pixels.clone();
    let (own, other) = (share as f32, (1.0 - share) as f32);
    for (image, partner) in batch.pixels.chunks_exact_mut(size.max(1)).zip(partners) {
        let from = &original[partner * size..(partner + 1) * size];
        for (value, from) in image.iter_mut().zip(from) {
            *value = own * *value + other * from;
        }
    }
    share
}

/// Puts a box of its partner into each image: of `1 - share` of the area about a random point, cut off at the border. The share
/// that is left is that of the box as it came to be.
fn cut(batch: &mut Batch, partners: &[usize], share: f64, random: &mut impl Rng) -> f64 {
    let [_, channels, height, width] = batch.shape;
    let side = (1.0 - share).sqrt();
    let mut within = |length: usize| -> Range<usize> {
        let half = (length as f64 * side).floor() as usize / 2;
        let centre = random.random_range(0..length.max(1));
        centre.saturating_sub(half)..(centre + half).min(length)
    };
    let (rows, columns) = (within(height), within(width));
    let size = height * width * channels;
    let original = batch.pixels.clone();
    for (image, partner) in batch.pixels.chunks_exact_mut(size.max(1)).zip(partners) {
        let from = &original[partner * size..(partner + 1) * size];
        for row in rows.clone() {
            let first = row * width;
            let part = (first + columns.start) * channels..(first + columns.end) * channels;
            image[part.clone()].copy_from_slice(&from[part]);
        }
    }
    let area = (rows.len() * columns.len()) as f64;
    1.0 - area / (height * width).max(1) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Images whose every value is their position in the batch, and so is their label.
    fn batch(count: usize, side: usize) -> Batch {
        let size = side * side * 3;
        Batch {
            pixels: (0..count * size).map(|at| (at / size) as f32).collect(),
            labels: (0..count).collect(),
            indices: (0..count).collect(),
            shape: [count, 3, side, side],
            skipped: Vec::new(),
        }
    }

    #[test]
    fn shares_have_the_moments_of_their_distribution() {
        for alpha in [0.2, 1.0, 3.0] {
            let mix = Mix {
                mixup: alpha,
                cutmix: 0.0,
            };
            let shares: Vec<f64> = (0..4000)
                .map(|number| mix.apply(&mut batch(1, 1), 7, 0, number).unwrap().share)
                .collect();
            let mean = shares.iter().sum::<f64>() / 4000.0;
            let variance = shares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 4000.0;
            // Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 0.03, "{alpha}: {mean}");
            assert!(
                (variance / expected - 1.0).abs() < 0.08,
                "{alpha}: {variance}"
            );
        }
        // However small.
        let coin = Mix {
            mixup: 1e-300,
            cutmix: 0.0,
        };
        let share = coin.apply(&mut batch(2, 1), 7, 0, 0).unwrap().share;
        assert!((0.0..=1.0).contains(&share));
    }

    #[test]
    fn blended_images_are_made_of_both() {
        let mix = Mix {
            mixup: 1.0,
            cutmix: 0.0,
        };
        let mut mixed = batch(6, 4);
        let Mixed { share, partners } = mix.apply(&mut mixed, 1, 2, 3).unwrap();
        assert_ne!(partners, mixed.labels);
        for (at, image) in mixed.pixels.chunks_exact(48).enumerate() {
            let expected = share * at as f64 + (1.0 - share) * partners[at] as f64;
            assert!(
                image
                    .iter()
                    .all(|v| (f64::from(*v) - expected).abs() < 1e-5)
            );
        }
    }

    #[test]
    fn the_area_of_the_box_is_what_is_not_an_images_own() {
        let mix = Mix {
            mixup: 0.0,
            cutmix: 1.0,
        };
        let (mut smallest, mut largest) = (1.0f64, 0.0f64);
        for number in 0..300 {
            let mut mixed = batch(5, 16);
            let Mixed { share, partners } = mix.apply(&mut mixed, 1, 0, number).unwrap();
            for (at, image) in mixed.pixels.chunks_exact(16 * 16 * 3).enumerate() {
                let own = image.iter().filter(|v| **v == at as f32).count();
                let other = image.iter().filter(|v| **v == partners[at] as f32).count();
                if partners[at] == at {
                    continue;
                }
                assert_eq!(own + other, image.len());
                assert!((own as f64 / image.len() as f64 - share).abs() < 1e-12);
            }
            (smallest, largest) = (smallest.min(share), largest.max(share));
        }
        assert!(smallest < 0.4 && largest > 0.9, "{smallest} {largest}");
    }

    #[test]
    fn a_batch_is_mixed_the_same_each_time_and_batches_are_mixed_differently() {
        let mix = Mix {
            mixup: 1.0,
            cutmix: 1.0,
        };
        let of = |epoch, number| {
            let mut mixed = batch(4, 8);
            let how = mix.apply(&mut mixed, 3, epoch, number);
            (mixed, how)
        };
        assert_eq!(of(1, 2), of(1, 2));
        assert_ne!(of(1, 2).1, of(1, 3).1);
        assert_ne!(of(1, 2).1, of(2, 2).1);
        // Either at even odds: blended images have values that are no whole numbers.
        let blended = (0..200).filter(|&number| {
            let (mixed, _) = of(0, number);
            mixed.pixels.iter().any(|v| v.fract() != 0.0)
        });
        assert!((70..130).contains(&blended.count()));
        assert_eq!(Mix::default().apply(&mut batch(4, 8), 3, 0, 0), None);
    }
}
