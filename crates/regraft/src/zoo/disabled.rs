//! What stands for the zoo in a build without the feature `zoo`: it knows no model.

use std::path::{Path, PathBuf};

use regraft_spec::Preprocess;

use crate::error::Error;

/// Nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known;

impl Known {
    pub fn of_file(_: &Path) -> Self {
        Self
    }

    pub fn preprocess(&self) -> Option<Preprocess> {
        None
    }

    pub fn labels(&self) -> Option<Vec<String>> {
        None
    }

    #[cfg_attr(not(feature = "recipe"), allow(dead_code))]
    pub fn warning(&self) -> Option<String> {
        None
    }
}

pub(crate) fn locate(name: &str) -> Result<(PathBuf, Known), Error> {
    Err(Error::Unfit {
        reason: format!(
            "no model `{name}`: there is no file or run folder of that name, and this build has no zoo; give the path of an ONNX file, or build with the feature `zoo`"
        ),
    })
}
