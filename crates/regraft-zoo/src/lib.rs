//! Pretrained models by name: a manifest says what there is, [`fetch`] brings it, a cache keeps it.
//!
//! A file gets its name only after its size and its SHA-256 are those that the manifest promises; until then it is a
//! `.part` file that the next try goes on from. Nothing is known here of what is in a model.
//!
//! ```no_run
//! use regraft_zoo::{Cache, Manifest, Options, fetch};
//!
//! let manifest = Manifest::builtin()?;
//! let options = Options::new(Cache::from_env()?);
//! let path = fetch(manifest.get("resnet18")?, &options, &mut |_| {})?;
//! println!("{}", path.display());
//! # Ok::<(), regraft_zoo::Error>(())
//! ```
//!
//! Models of one's own are a second manifest:
//!
//! ```
//! use regraft_zoo::Manifest;
//!
//! let mut manifest = Manifest::builtin()?;
//! manifest.merge(Manifest::parse(r#"
//!     [[model]]
//!     name = "leaves"
//!     bytes = 5
//!     sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
//!     sources = ["https://models.example/leaves.onnx", "file:///mnt/models/leaves.onnx"]
//! "#)?);
//! assert_eq!(manifest.get("leaves")?.file, "leaves.onnx");
//! # Ok::<(), regraft_zoo::Error>(())
//! ```

#[cfg(feature = "bars")]
mod bars;
mod cache;
mod digest;
mod error;
mod fetch;
mod http;
mod local;
mod manifest;
mod options;
mod package;
mod part;
mod preprocess;
mod registry;
mod source;

#[cfg(feature = "bars")]
pub use bars::Bars;
pub use cache::Cache;
pub use digest::Digest;
pub use error::{Error, Failure};
pub use fetch::{fetch, fetch_all};
pub use manifest::{Entry, Labels, Manifest, Weights};
pub use options::{Options, Progress};
pub use preprocess::Preprocess;
pub use regraft_spec::{Channels, Crop, Interpolation};
pub use source::Source;

/// What this crate's functions give.
pub type Result<T, E = Error> = std::result::Result<T, E>;
