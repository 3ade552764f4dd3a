//! One of a file's outputs as the only one.

use std::collections::HashSet;

use regraft_spec::similar::nearest;

use crate::error::Error;
use crate::file::model::Model;
use crate::surgery::head::{needed_by, retain};

impl Model {
    /// The model with one of its outputs alone: what only the others need is gone.
    ///
    /// # Errors
    /// When the file has no output of that name.
    pub fn with_output(&self, name: &str) -> Result<Model, Error> {
        let outputs = || {
            self.graph()
                .output
                .iter()
                .map(|output| output.name.as_str())
        };
        if !outputs().any(|output| output == name) {
            return Err(Error::NoSuchName {
                what: "output",
                name: name.to_owned(),
                near: nearest(name, outputs()),
            });
        }
        if outputs().count() == 1 {
            return Ok(self.clone());
        }
        let mut proto = self.proto.clone();
        let file = proto.graph.mut_or_insert_default();
        file.output.retain(|output| output.name == name);
        let needed = needed_by(&file.node, name);
        let used: HashSet<String> = retain(file, &needed);
        file.initializer
            .retain(|tensor| used.contains(&tensor.name));
        file.input.retain(|input| used.contains(&input.name));
        file.value_info.retain(|value| used.contains(&value.name));
        file.quantization_annotation.clear();
        Model::from_proto(proto)
    }
}
