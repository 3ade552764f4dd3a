//! One function a backend: its entry in the table, with functions where its feature is on and without where it is off.

#[cfg(any(feature = "flex", feature = "ndarray", feature = "cuda"))]
use crate::Built;
use crate::Plugin;

#[cfg(feature = "flex")]
pub(crate) const fn flex() -> Plugin {
    use regraft_backend_flex::{NAME, SUMMARY, devices, open};
    Plugin {
        name: NAME,
        summary: SUMMARY,
        built: Some(Built { devices, open }),
    }
}

#[cfg(not(feature = "flex"))]
pub(crate) const fn flex() -> Plugin {
    Plugin {
        name: "flex",
        summary: "CPU, SIMD on all cores",
        built: None,
    }
}

#[cfg(feature = "ndarray")]
pub(crate) const fn ndarray() -> Plugin {
    use regraft_backend_ndarray::{NAME, SUMMARY, devices, open};
    Plugin {
        name: NAME,
        summary: SUMMARY,
        built: Some(Built { devices, open }),
    }
}

#[cfg(not(feature = "ndarray"))]
pub(crate) const fn ndarray() -> Plugin {
    Plugin {
        name: "ndarray",
        summary: "CPU, portable; slower than flex",
        built: None,
    }
}

#[cfg(feature = "cuda")]
pub(crate) const fn cuda() -> Plugin {
    use regraft_backend_cuda::{NAME, SUMMARY, devices, open};
    Plugin {
        name: NAME,
        summary: SUMMARY,
        built: Some(Built { devices, open }),
    }
}

#[cfg(not(feature = "cuda"))]
pub(crate) const fn cuda() -> Plugin {
    Plugin {
        name: "cuda",
        summary: "NVIDIA GPU",
        built: None,
    }
}
