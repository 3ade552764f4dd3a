//! Image folders and IDX files to batches: splits, decoding, preprocessing, augmentation, deterministic parallel loading.
//!
//! [`open`] finds classes and splits in a folder (of class folders, or of IDX files as MNIST's), [`Loader`] turns a split into batches of plain `f32` values. Order and
//! augmentation are functions of (seed, epoch, index), never of thread timing.
//!
//! ```no_run
//! use regraft_data::{Loader, LoaderOptions, OpenOptions, open};
//!
//! # fn main() -> Result<(), regraft_data::Error> {
//! let data = open("photos".as_ref(), &OpenOptions { validation: 0.2, seed: 42 })?;
//! let loader = Loader::new(data.train, LoaderOptions { shuffle: true, ..LoaderOptions::default() })?;
//! for batch in loader.epoch(0) {
//!     println!("{:?}", batch?.shape);
//! }
//! # Ok(())
//! # }
//! ```

mod augment;
mod dataset;
mod decode;
mod error;
mod loader;
mod mix;
pub mod npy;
mod open;
mod packed;
mod planes;
mod preprocess;
mod random;
mod record;
mod select;
mod source;
mod split;

pub use dataset::{Dataset, ImageSet, Packed, Sample};
pub use decode::{Decoded, decode};
pub use error::{Error, some};
pub use loader::{Batch, Batches, Loader, LoaderOptions, Skipped, load_image, usable_threads};
pub use mix::{Mix, Mixed};
pub use open::{OpenOptions, open, open_part, open_split};
pub use packed::IdxImages;
pub use planes::{Planes, decode_planes};
pub use random::{order, rng};
pub use record::{
    Changes, ImageRecord, SplitName, Unknown, changes, hashes, read_records, records,
    with_recorded_splits, write_records,
};
pub use regraft_spec::{
    Augment, Channels, Crop, ImageSize, Interpolation, OnBadImage, Preprocess, Sampling,
};
pub use select::Selection;
pub use source::is_image;
