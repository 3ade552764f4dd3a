//! How the value of a key is described, read, checked and written: from one declaration.

use std::fmt;
use std::ops::RangeInclusive;

use toml_edit::Value;

use crate::error::{Error, alternatives};
use crate::parse::Section;
use crate::recipe::Recipe;
use crate::write::whole;

/// The value of a key.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A whole number from `least` to `most`.
    Whole {
        least: i64,
        most: i64,
        of: fn(&mut Recipe) -> &mut usize,
    },
    /// A number in a range.
    Number {
        range: Range,
        of: fn(&mut Recipe) -> &mut f64,
    },
    /// `true` or `false`.
    Flag { of: fn(&mut Recipe) -> &mut bool },
    /// Text that is not empty.
    Text { of: fn(&mut Recipe) -> &mut String },
    /// One of several words.
    Word {
        words: fn() -> Vec<&'static str>,
        read: fn(&Section<'_>, &str, &mut Recipe) -> Result<(), Error>,
        write: fn(&Recipe) -> &'static str,
    },
    /// Anything else, read and written by functions of its own.
    Own {
        takes: &'static str,
        default: &'static str,
        read: fn(&Section<'_>, &mut Recipe) -> Result<(), Error>,
        /// None where the recipe leaves the value to others.
        write: fn(&Recipe) -> Option<Value>,
    },
    /// A key inside a table, which the table's own key reads and writes.
    Part {
        takes: &'static str,
        default: &'static str,
    },
}

impl Kind {
    /// Type and range in words.
    pub fn takes(&self) -> String {
        match self {
            Self::Whole { least, most, .. } => whole_words(&(*least..=*most)),
            Self::Number { range, .. } => range.words.to_owned(),
            Self::Flag { .. } => FLAG.to_owned(),
            Self::Text { .. } => TEXT.to_owned(),
            Self::Word { words, .. } => alternatives(&words()),
            Self::Own { takes, .. } | Self::Part { takes, .. } => (*takes).to_owned(),
        }
    }

    /// The default as TOML, or in words.
    pub fn default(&self) -> String {
        match self {
            Self::Own { default, .. } | Self::Part { default, .. } => (*default).to_owned(),
            simple => {
                let value = simple.write(&Recipe::new("model", "data"));
                value.map_or_else(String::new, |value| value.to_string())
            }
        }
    }

    /// Takes the key's value out of its section, where it is given, and checks it.
    pub fn read(&self, section: &Section<'_>, key: &str, recipe: &mut Recipe) -> Result<(), Error> {
        match self {
            Self::Whole { least, most, of } => {
                if let Some(number) = section.count(key, *least..=*most)? {
                    *of(recipe) = number;
                }
            }
            Self::Number { range, of } => {
                if let Some(number) = section.number(key, *range)? {
                    *of(recipe) = number;
                }
            }
            Self::Flag { of } => {
                if let Some(flag) = section.flag(key)? {
                    *of(recipe) = flag;
                }
            }
            Self::Text { of } => {
                if let Some(text) = section.text(key)? {
                    *of(recipe) = text;
                }
            }
            Self::Word { read, .. } => read(section, key, recipe)?,
            Self::Own { read, .. } => read(section, recipe)?,
            Self::Part { .. } => {}
        }
        Ok(())
    }

    /// The value as TOML; none where the recipe leaves it to others.
    pub fn write(&self, recipe: &Recipe) -> Option<Value> {
        // Values are reached through the one way that reads them too.
        let mut recipe = recipe.clone();
        match self {
            Self::Whole { of, .. } => Some(whole(*of(&mut recipe))),
            Self::Number { of, .. } => Some((*of(&mut recipe)).into()),
            Self::Flag { of } => Some((*of(&mut recipe)).into()),
            Self::Text { of } => Some(of(&mut recipe).as_str().into()),
            Self::Word { write, .. } => Some(write(&recipe).into()),
            Self::Own { write, .. } => write(&recipe),
            Self::Part { .. } => None,
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.takes())
    }
}

/// What a flag takes.
pub(crate) const FLAG: &str = "`true` or `false`";
/// What `model.head.taps` takes.
/// What `data.preprocess.channels` takes.
pub(crate) const CHANNELS: &str = "`rgb`, `bgr` or `grey`, or a whole number from 1 to 64";
/// What `data.preprocess.size` takes.
pub(crate) const SIZE: &str = "a whole number from 1 to 4096, or height and width in brackets";
pub(crate) const TAPS: &str = "`auto`, a whole number from 1 to 1000000, or names of blocks in brackets, each followed by a colon and a pooling (max, grid2 to grid4) where the pooling is not the mean";
/// What `model.output` takes.
pub(crate) const OUTPUT: &str = "\"auto\" or a string that is not empty";
/// What `data.shifted` takes.
pub(crate) const SHIFTED: &str = "\"none\" or a string that is not empty";
/// What `train.budget` takes.
pub(crate) const BUDGET: &str =
    "\"none\", or a time from one second to a hundred days, such as \"90s\", \"10m\" or \"2h\"";
/// What `train.class_weights` takes.
pub(crate) const CLASS_WEIGHTS: &str =
    "\"none\", \"balanced\", or a table of classes with weights above 0, such as `{ rare = 4.0 }`";
/// What a text takes.
pub(crate) const TEXT: &str = "a string that is not empty";

/// The numbers that a key takes, none of them infinite or NaN.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub at_least: Option<f64>,
    pub above: Option<f64>,
    pub below: Option<f64>,
    /// As in "expected …".
    pub words: &'static str,
}

impl Range {
    pub fn contains(&self, number: f64) -> bool {
        self.at_least.is_none_or(|least| number >= least)
            && self.above.is_none_or(|bound| number > bound)
            && self.below.is_none_or(|bound| number < bound)
    }
}

pub(crate) const ANY: Range = Range {
    at_least: None,
    above: None,
    below: None,
    words: "a finite number",
};
pub(crate) const ABOVE_ZERO: Range = Range {
    above: Some(0.0),
    words: "a number above 0",
    ..ANY
};
pub(crate) const NOT_NEGATIVE: Range = Range {
    at_least: Some(0.0),
    words: "a number of at least 0",
    ..ANY
};
pub(crate) const BELOW_ONE: Range = Range {
    at_least: Some(0.0),
    below: Some(1.0),
    words: "a number from 0 to below 1",
    ..ANY
};

pub(crate) const WITHIN_ONE: Range = Range {
    above: Some(0.0),
    below: Some(1.0),
    words: "a number above 0 and below 1",
    ..ANY
};

/// Counts of epochs: more would only be a slip of the hand.
pub(crate) const UP_TO_A_MILLION: RangeInclusive<i64> = 1..=1_000_000;

/// As in "expected …".
pub(crate) fn whole_words(range: &RangeInclusive<i64>) -> String {
    let most = match *range.end() {
        i64::MAX => "2^63 - 1".to_owned(),
        end if end == 1 << 53 => "2^53".to_owned(),
        end => end.to_string(),
    };
    format!("a whole number from {} to {most}", range.start())
}
