//! What a recipe says about preprocessing: nothing, or the keys of the table that differ from the model's.

use regraft_spec::{Channels, Crop, ImageSize, Interpolation, Preprocess};

/// `data.preprocess`.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum PreprocessSpec {
    /// The model's own preprocessing.
    #[default]
    Auto,
    /// The model's own, with these keys instead.
    Partial(PartialPreprocess),
}

/// A [`Preprocess`] of which each key may be left to the model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PartialPreprocess {
    /// Height and width of what the network sees, in pixels, 1 to 4096 a side.
    pub size: Option<ImageSize>,
    /// Shorter side after resizing, in pixels, 1 to 16,384 and at least that of `size`.
    pub resize: Option<u32>,
    /// What becomes of images of another shape.
    pub crop: Option<Crop>,
    /// Resampling filter.
    pub interpolation: Option<Interpolation>,
    /// Channel order.
    pub channels: Option<Channels>,
    /// Factor on the 0..=255 pixel value, above 0.
    pub scale: Option<f32>,
    /// Mean per channel after scaling: one number or three, in the model's channel order.
    pub mean: Option<Vec<f32>>,
    /// Standard deviation per channel after scaling: as many numbers as `mean`, each above 0.
    pub std: Option<Vec<f32>>,
}

impl PreprocessSpec {
    /// The whole table: these keys where they are given, the model's elsewhere.
    ///
    /// A new `size` without a `resize` sets that too, so that nothing of the shorter side is cut off: images to learn
    /// from are seldom framed as loosely as ImageNet's. Whether the keys fit together (three means for one channel, say)
    /// is for the user of the result to check.
    pub fn resolve(&self, base: &Preprocess) -> Preprocess {
        match self {
            Self::Auto => base.clone(),
            Self::Partial(partial) => partial.over(base),
        }
    }
}

impl PartialPreprocess {
    fn over(&self, base: &Preprocess) -> Preprocess {
        let resize = match (self.resize, self.size) {
            (Some(resize), _) => resize,
            (None, Some(size)) => size.shorter(),
            (None, None) => base.resize,
        };
        Preprocess {
            size: self.size.unwrap_or(base.size),
            resize,
            crop: self.crop.unwrap_or(base.crop),
            interpolation: self.interpolation.unwrap_or(base.interpolation),
            channels: self.channels.unwrap_or(base.channels),
            scale: self.scale.unwrap_or(base.scale),
            mean: self.mean.as_ref().unwrap_or(&base.mean).clone(),
            std: self.std.as_ref().unwrap_or(&base.std).clone(),
        }
    }
}

impl From<Preprocess> for PartialPreprocess {
    /// Every key given: what a run folder's recipe says, so that a later run no longer depends on the model's say.
    fn from(whole: Preprocess) -> Self {
        Self {
            size: Some(whole.size),
            resize: Some(whole.resize),
            crop: Some(whole.crop),
            interpolation: Some(whole.interpolation),
            channels: Some(whole.channels),
            scale: Some(whole.scale),
            mean: Some(whole.mean),
            std: Some(whole.std),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imagenet() -> Preprocess {
        Preprocess {
            size: ImageSize::square(224),
            resize: 256,
            crop: Crop::Center,
            interpolation: Interpolation::Bilinear,
            channels: Channels::Rgb,
            scale: 1.0 / 255.0,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
        }
    }

    fn resolved(partial: PartialPreprocess) -> Preprocess {
        PreprocessSpec::Partial(partial).resolve(&imagenet())
    }

    #[test]
    fn auto_and_an_empty_table_are_the_models_own() {
        assert_eq!(PreprocessSpec::Auto.resolve(&imagenet()), imagenet());
        assert_eq!(resolved(PartialPreprocess::default()), imagenet());
    }

    #[test]
    fn a_new_size_keeps_the_whole_shorter_side() {
        let at = |size| {
            resolved(PartialPreprocess {
                size: Some(ImageSize::square(size)),
                ..Default::default()
            })
            .resize
        };
        assert_eq!((at(96), at(384)), (96, 384));
    }

    #[test]
    fn a_given_resize_stands() {
        let both = PartialPreprocess {
            size: Some(ImageSize::square(96)),
            resize: Some(96),
            ..Default::default()
        };
        assert_eq!(
            resolved(both),
            Preprocess {
                size: ImageSize::square(96),
                resize: 96,
                ..imagenet()
            }
        );
    }

    #[test]
    fn every_key_overrides_the_models() {
        let other = Preprocess {
            size: ImageSize::square(8),
            resize: 9,
            crop: Crop::Squash,
            interpolation: Interpolation::Nearest,
            channels: Channels::Bgr,
            scale: 1.0,
            mean: vec![1.0, 2.0, 3.0],
            std: vec![4.0, 5.0, 6.0],
        };
        assert_eq!(resolved(other.clone().into()), other);
    }
}
