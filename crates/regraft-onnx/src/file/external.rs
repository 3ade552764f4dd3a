//! Weights that lie in files beside the model (`data_location = EXTERNAL`), brought into it.
//!
//! The model names the file, so the name is not to be trusted: only plain relative paths that end up below the model's
//! own folder are opened, and every range is checked against the file's size and the tensor's shape before it is read.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use onnx_ir::{ModelProto, TensorProto};

use crate::error::Error;
use crate::proto::element;
use crate::proto::tensor;

/// Reads every external initializer and constant of the graph from below `folder`; afterwards the model is whole.
pub(crate) fn resolve(proto: &mut ModelProto, folder: &Path) -> Result<(), Error> {
    let Some(graph) = proto.graph.as_mut() else {
        return Ok(());
    };
    let constants = graph
        .node
        .iter_mut()
        .flat_map(|node| &mut node.attribute)
        .filter_map(|attribute| attribute.t.as_mut());
    let mut folder = Folder {
        path: folder,
        files: HashMap::new(),
    };
    for tensor in graph.initializer.iter_mut().chain(constants) {
        if tensor::is_external(tensor) {
            tensor.raw_data = folder
                .read(tensor)
                .map_err(|reason| tensor::fault(tensor, reason))?;
            tensor.external_data.clear();
            tensor.data_location = Default::default();
        }
    }
    Ok(())
}

/// The model's folder and the files in it that have been opened.
struct Folder<'a> {
    path: &'a Path,
    files: HashMap<String, DataFile>,
}

struct DataFile {
    file: File,
    size: u64,
    /// Bytes that may still be read: tensors that all claim the same range would multiply the file in memory.
    left: u64,
}

impl Folder<'_> {
    fn read(&mut self, tensor: &TensorProto) -> Result<Bytes, String> {
        if !tensor.raw_data.is_empty() {
            return Err("its data lies both in the model and in another file".to_owned());
        }
        let wanted = byte_count(tensor)?;
        let location = entry(tensor, "location")?.ok_or("it does not name the file of its data")?;
        let offset = number(tensor, "offset")?.unwrap_or(0);
        let length = number(tensor, "length")?.unwrap_or(wanted);
        if length != wanted {
            return Err(format!(
                "shape {:?} wants {wanted} bytes, `{location}` is said to hold {length}",
                tensor.dims
            ));
        }
        let data = self.open(location)?;
        if offset.checked_add(wanted).is_none_or(|end| end > data.size) {
            return Err(format!(
                "{wanted} bytes from {offset} on go beyond the end of `{location}`, which has {}",
                data.size
            ));
        }
        data.left = data.left.checked_sub(wanted).ok_or_else(|| {
            format!("with it more is read from `{location}` than it holds; its ranges overlap")
        })?;
        data.read(offset, wanted)
            .map_err(|error| format!("reading `{location}`: {error}"))
    }

    fn open(&mut self, location: &str) -> Result<&mut DataFile, String> {
        if !self.files.contains_key(location) {
            let path = self.inside(location)?;
            let told = |error: std::io::Error| format!("opening `{location}`: {error}");
            // A pipe would block when opened.
            if !std::fs::metadata(&path).map_err(told)?.is_file() {
                return Err(format!("`{location}` is no regular file"));
            }
            let file = File::open(&path).map_err(told)?;
            let size = file.metadata().map_err(told)?.len();
            let data = DataFile {
                file,
                size,
                left: size,
            };
            self.files.insert(location.to_owned(), data);
        }
        self.files
            .get_mut(location)
            .ok_or_else(|| format!("`{location}` could not be opened"))
    }

    /// The path that `location` stands for, when it is below the folder, links followed.
    fn inside(&self, location: &str) -> Result<PathBuf, String> {
        let plain = !location.is_empty()
            && !location.contains(['\\', ':', '\0'])
            && Path::new(location)
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !plain {
            return Err(format!(
                "its data is said to lie in `{location}`; only relative paths below the model's folder are read"
            ));
        }
        let told = |error: std::io::Error| {
            format!("its data is said to lie in `{location}` beside the model: {error}")
        };
        let folder = std::fs::canonicalize(self.path).map_err(told)?;
        let path = std::fs::canonicalize(folder.join(location)).map_err(told)?;
        if path.starts_with(&folder) {
            Ok(path)
        } else {
            Err(format!(
                "its data is said to lie in `{location}`, a link out of the model's folder; copy the file there"
            ))
        }
    }
}

impl DataFile {
    fn read(&mut self, offset: u64, length: u64) -> std::io::Result<Bytes> {
        let length = usize::try_from(length).map_err(std::io::Error::other)?;
        self.file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

fn byte_count(tensor: &TensorProto) -> Result<u64, String> {
    let width = element::width(tensor.data_type).ok_or_else(|| {
        format!(
            "element type {} is not read from another file",
            tensor.data_type
        )
    })?;
    tensor::element_count(&tensor.dims)
        .and_then(|count| count.checked_mul(width))
        .map(|bytes| bytes as u64)
        .ok_or_else(|| format!("impossible shape {:?}", tensor.dims))
}

fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Result<Option<&'a str>, String> {
    let mut values = tensor
        .external_data
        .iter()
        .filter(|entry| entry.key == key)
        .map(|entry| entry.value.as_str());
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(format!("it gives the {key} of its data twice")),
    }
}

fn number(tensor: &TensorProto, key: &str) -> Result<Option<u64>, String> {
    entry(tensor, key)?
        .map(|text| {
            text.parse()
                .map_err(|_| format!("the {key} of its data is `{text}`, not a whole number"))
        })
        .transpose()
}
