//! The backends compiled in, and what each finds on this machine.
//!
//! Each backend is a plugin crate of its own behind a cargo feature of the same name; [`PLUGINS`] is the table of all of
//! them, compiled in or not. `--device NAME` or `NAME:INDEX` becomes a Burn `Device` by [`open`].
//!
//! ```
//! let device = regraft_backend::open("auto")?;
//! # Ok::<(), regraft_backend::Error>(())
//! ```

mod plugins;

use burn::tensor::Device;

/// A backend: compiled in, or known but left out.
#[derive(Debug)]
pub struct Plugin {
    /// What `--device` and the cargo feature call it.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Its functions, where it is compiled in.
    pub built: Option<Built>,
}

/// A compiled-in backend's functions.
#[derive(Debug)]
pub struct Built {
    /// One description a device found; never panics.
    pub devices: fn() -> Vec<String>,
    /// Opens the device of that index.
    pub open: fn(usize) -> Result<Device, String>,
}

/// Every backend regraft knows, the preferred one first.
pub const PLUGINS: &[Plugin] = &[plugins::flex(), plugins::ndarray(), plugins::cuda()];

/// Why a device could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No backend has that name.
    #[error("no backend is called `{name}`; there are {}", known())]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The backend is left out of this build.
    #[error("built without `{name}`; rebuild with `--features {name}`")]
    NotBuilt {
        /// The backend.
        name: &'static str,
    },
    /// No backend at all is compiled in.
    #[error("built without any backend; rebuild with `--features flex`")]
    NoneBuilt,
    /// The backend has no such device here.
    #[error("`{device}`: {reason}")]
    Device {
        /// What was asked for.
        device: String,
        /// Why it cannot be had.
        reason: String,
    },
}

fn known() -> String {
    let names: Vec<String> = PLUGINS
        .iter()
        .map(|plugin| format!("`{}`", plugin.name))
        .collect();
    names.join(", ")
}

/// Opens a device by name: `flex`, `cuda`, `cuda:1`; `auto` is the first that is compiled in.
///
/// # Errors
/// When the name is unknown, left out of this build, or has no such device on this machine.
pub fn open(name: &str) -> Result<Device, Error> {
    let (backend, index) = name.split_once(':').unwrap_or((name, "0"));
    let index: usize = index.parse().map_err(|_| Error::Device {
        device: name.to_owned(),
        reason: "expected a device number after the colon, as in `cuda:0`".to_owned(),
    })?;
    let plugin = match backend {
        "auto" => PLUGINS
            .iter()
            .find(|plugin| plugin.built.is_some())
            .ok_or(Error::NoneBuilt)?,
        _ => PLUGINS
            .iter()
            .find(|plugin| plugin.name == backend)
            .ok_or_else(|| Error::Unknown {
                name: backend.to_owned(),
            })?,
    };
    let built = plugin
        .built
        .as_ref()
        .ok_or(Error::NotBuilt { name: plugin.name })?;
    (built.open)(index).map_err(|reason| Error::Device {
        device: name.to_owned(),
        reason,
    })
}

/// Names of the backends compiled in.
pub fn built() -> impl Iterator<Item = &'static str> {
    PLUGINS
        .iter()
        .filter(|plugin| plugin.built.is_some())
        .map(|plugin| plugin.name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_unknown_backend_names_the_known_ones() {
        let message = open("tpu").unwrap_err().to_string();
        assert_eq!(
            message,
            "no backend is called `tpu`; there are `flex`, `ndarray`, `cuda`"
        );
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_backend_left_out_says_how_to_get_it() {
        assert_eq!(
            open("cuda:0").unwrap_err().to_string(),
            "built without `cuda`; rebuild with `--features cuda`"
        );
    }

    #[test]
    fn every_backend_compiled_in_opens_its_first_device() {
        for plugin in PLUGINS {
            let Some(built) = &plugin.built else { continue };
            if !(built.devices)().is_empty() {
                assert!(open(plugin.name).is_ok(), "{}", plugin.name);
            }
        }
    }
}

/// Keeps the example of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
