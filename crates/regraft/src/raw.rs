//! One raw forward pass: a tensor in, the file's own output out, no preprocessing.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use regraft_data::npy;
use regraft_nn::Network;
use regraft_onnx::{Graph, ImportOptions, InputLayout, Model, tensor_from_pb};
use serde::Serialize;

use crate::error::Error;
use crate::run_folder::io;
use crate::source::model_file;

/// What a raw run gave.
#[derive(Debug, Clone, Serialize)]
pub struct RawRun {
    /// Shape of the output.
    pub shape: Vec<usize>,
    /// Its values, row by row.
    #[serde(skip)]
    pub values: Vec<f32>,
    /// Seconds of each pass after one to warm up.
    pub seconds: Vec<f64>,
}

/// How far a raw run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The file's own output.
    Output,
    /// The last cut, below the head: what a frozen trunk gives.
    LastCut,
}

/// Runs the model on a tensor in the file's own layout, read from `.npy` or ONNX TensorProto `.pb`. Of several outputs, the one
/// named counts.
///
/// # Errors
/// When the tensor or the model cannot be read, or the shapes do not fit.
pub fn run_raw(
    model: &str,
    output: Option<&str>,
    device: &str,
    input: &Path,
    until: Until,
    repeat: usize,
) -> Result<RawRun, Error> {
    let device = regraft_backend::open(device)?;
    let path = model_file(model)?;
    let fault = |source| Error::Model {
        path: path.clone(),
        source,
    };
    let (shape, values) = read_tensor(input)?;
    let mut file = Model::open(&path).map_err(fault)?;
    if let Some(output) = output {
        file = file.with_output(output).map_err(fault)?;
    }
    let probe = Graph::import(&file, &ImportOptions::default()).map_err(fault)?;
    let unfit = |reason: String| Error::Unfit {
        reason: format!("tensor `{}`: {reason}", input.display()),
    };
    let &[n, a, b, c] = shape.as_slice() else {
        return Err(unfit(format!(
            "its shape is {shape:?}, expected four dimensions"
        )));
    };
    let size = match probe.layout {
        InputLayout::ChannelsFirst => [b, c],
        InputLayout::ChannelsLast => [a, b],
    };
    let graph = Graph::import(
        &file,
        &ImportOptions {
            image_size: Some(size),
            ..ImportOptions::default()
        },
    )
    .map_err(fault)?;
    if let (Some(operator), true) = (&graph.left_off, until == Until::Output) {
        return Err(Error::Unfit {
            reason: format!(
                "model `{}`: its output comes from {operator}, which is not computed here; `regraft predict` takes what it is given, `{}`",
                path.display(),
                graph.output_name
            ),
        });
    }
    let [channels, height, width] = graph.image_shape();
    let expected = match graph.layout {
        InputLayout::ChannelsFirst => [channels, height, width],
        InputLayout::ChannelsLast => [height, width, channels],
    };
    if expected != [a, b, c] {
        return Err(unfit(format!(
            "its shape is {shape:?}, the model takes {expected:?} behind the batch"
        )));
    }
    let layout = graph.layout;
    let graph = Arc::new(graph);
    let network = match until {
        Until::Output => Network::inference(graph, &device)?,
        Until::LastCut => Network::feature_extractor(graph, &device)?,
    };
    let pass = || {
        let shape = [n, channels, height, width];
        let features = match layout {
            InputLayout::ChannelsFirst => network.features(values.clone(), shape)?,
            InputLayout::ChannelsLast => network.features_of_pixels(values.clone(), shape)?,
        };
        match until {
            Until::Output => network.output(features),
            Until::LastCut => Ok(features),
        }
    };
    let output = pass()?;
    let shape = output.dims();
    let values = output.into_values()?;
    let mut seconds = Vec::with_capacity(repeat);
    for _ in 0..repeat {
        let start = Instant::now();
        pass()?.into_values()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(RawRun {
        shape,
        values,
        seconds,
    })
}

impl RawRun {
    /// Writes the output as `.npy`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_npy(&self, path: &Path) -> Result<(), Error> {
        let bytes = npy::write(&self.shape, &self.values);
        Ok(regraft_spec::files::write_whole(path, &bytes)?)
    }
}

fn read_tensor(path: &Path) -> Result<(Vec<usize>, Vec<f32>), Error> {
    let unfit = |reason: String| Error::Unfit {
        reason: format!("tensor `{}`: {reason}", path.display()),
    };
    if path.extension().is_some_and(|extension| extension == "pb") {
        let bytes = std::fs::read(path).map_err(|source| io("reading", path, source))?;
        return tensor_from_pb(&bytes).map_err(|error| unfit(error.to_string()));
    }
    let file = File::open(path).map_err(|source| io("reading", path, source))?;
    npy::read(BufReader::new(file)).map_err(unfit)
}
