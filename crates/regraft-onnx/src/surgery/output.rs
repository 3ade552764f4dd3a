//! One of a file's outputs as the only one.

use regraft_spec::similar::nearest;

use crate::error::Error;
use crate::file::model::Model;
use crate::surgery::head::prune;

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
        let used = prune(file, name);
        file.input.retain(|input| used.contains(&input.name));
        Model::from_proto(proto)
    }
}
