//! Serving a trained model: labels, preprocessing and weights all come from its file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use regraft_data::{Augment, ImageSet, Loader, LoaderOptions, OnBadImage, Preprocess, load_image};
use regraft_nn::{Activation, Network};
use regraft_onnx::{Graph, ImportOptions, Model, OutputKind, metadata};
use regraft_train::{Evaluation, Event, Observer, evaluate};
use serde::Serialize;

use crate::error::Error;
use crate::preprocess::{assumed_preprocess, assumption, model_preprocess};
use crate::run_folder::is_run;
use crate::source::{Located, locate};

/// A model ready to classify images.
pub struct Classifier {
    network: Network,
    /// The model's file.
    pub path: PathBuf,
    /// One name a class; numbers where the model has no labels.
    pub labels: Vec<String>,
    /// Whether the names come from the model.
    pub named: bool,
    /// How an image becomes numbers.
    pub preprocess: Preprocess,
    /// The run folder that the model lies in.
    #[cfg_attr(not(feature = "recipe"), allow(dead_code))]
    pub(crate) run: Option<PathBuf>,
    warnings: Vec<String>,
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classifier")
            .field("path", &self.path)
            .field("labels", &self.labels.len())
            .field("preprocess", &self.preprocess)
            .finish_non_exhaustive()
    }
}

/// A label with its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Top {
    /// The class.
    pub label: String,
    /// 0 to 1.
    pub probability: f32,
}

/// How well a model does on labelled images.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was evaluated, in words.
    pub data: String,
    /// Warnings to show the user.
    pub warnings: Vec<String>,
    /// Images.
    pub images: usize,
    /// Share classified right.
    pub accuracy: f64,
    /// Share whose label is among the five most probable; `None` for five classes or fewer.
    pub top_5: Option<f64>,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// One entry a class.
    pub classes: Vec<ClassMetrics>,
    /// Images by true class (rows) and predicted class (columns), in the order of `classes`.
    pub confusion: Vec<Vec<usize>>,
}

/// How well a model does on one class.
#[derive(Debug, Clone, Serialize)]
pub struct ClassMetrics {
    /// Its name.
    pub label: String,
    /// Images of it.
    pub images: usize,
    /// Of the images called so, the share that is; 0 where none is called so.
    pub precision: f64,
    /// Of the images that are, the share called so; 0 where there is none.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
}

impl Classifier {
    /// Opens an ONNX file or a run folder's best model on a device.
    ///
    /// # Errors
    /// When there is no such model or device, or the model cannot be imported.
    pub fn open(name: &str, device: &str) -> Result<Self, Error> {
        Self::open_output(name, None, device)
    }

    /// As [`Classifier::open`]; of a file with several outputs, the one of that name counts.
    ///
    /// # Errors
    /// And when there is no such output.
    pub fn open_output(name: &str, output: Option<&str>, device: &str) -> Result<Self, Error> {
        let located = locate(name)?;
        let fault = |source| Error::Model {
            path: located.path.clone(),
            source,
        };
        let mut model = Model::open(&located.path).map_err(fault)?;
        if let Some(output) = output {
            model = model.with_output(output).map_err(fault)?;
        }
        Self::build(&model, &located, device)
    }

    /// A model in memory; `path` is for messages.
    ///
    /// # Errors
    /// When there is no such device, or the model cannot be imported.
    pub fn from_model(model: &Model, path: PathBuf, device: &str) -> Result<Self, Error> {
        Self::build(model, &Located::at(path), device)
    }

    fn build(model: &Model, located: &Located, device: &str) -> Result<Self, Error> {
        let path = located.path.clone();
        let device = regraft_backend::open(device)?;
        let fault = |source| Error::Model {
            path: path.clone(),
            source,
        };
        let preprocess = match model_preprocess(model, &path)? {
            Some(preprocess) => Some(preprocess),
            None => located.known.preprocess(),
        };
        let image_size = preprocess.as_ref().map(|p| p.size.sides());
        let mut graph = Graph::import(
            model,
            &ImportOptions {
                image_size,
                ..ImportOptions::default()
            },
        )
        .map_err(fault)?;
        let mut warnings = model.notes().to_vec();
        warnings.extend(preprocess.is_none().then(|| assumption(&graph)));
        let preprocess = preprocess.unwrap_or_else(|| assumed_preprocess(&graph));
        preprocess
            .validate()
            .map_err(|error| Error::Data(error.into()))?;
        let classes = graph.classes();
        let own = metadata::labels(model);
        let (labels, named) = match own.or_else(|| located.known.labels()) {
            Some(labels) if labels.len() == classes => {
                // Whoever names the values says that they are classes.
                if graph.output_kind == OutputKind::Features {
                    graph.output_kind = OutputKind::Classes;
                }
                (labels, true)
            }
            _ => ((0..classes).map(|class| class.to_string()).collect(), false),
        };
        let network = Network::inference(Arc::new(graph), &device)?;
        let run = path.parent().filter(|folder| is_run(folder));
        Ok(Self {
            network,
            run: run.map(Path::to_owned),
            path,
            labels,
            named,
            preprocess,
            warnings,
        })
    }

    /// What a person should know before trusting what it says: that its preprocessing is assumed, for one.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The network, for whoever wants logits.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The `k` most probable classes of each image, a batch at a time.
    ///
    /// # Errors
    /// When an image cannot be decoded, or the network's outputs for it are no finite numbers.
    pub fn predict(
        &self,
        images: &[PathBuf],
        k: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Vec<Top>>, Error> {
        const BATCH: usize = 16;
        self.check_tells_classes()?;
        let classes = self.labels.len().max(1);
        let mut all = Vec::with_capacity(images.len());
        for batch in images.chunks(BATCH) {
            let mut pixels = Vec::new();
            for image in batch {
                pixels.extend(load_image(image, &self.preprocess)?);
            }
            let [height, width] = self.preprocess.size.sides();
            let channels = self.preprocess.channel_count();
            let shape = [batch.len(), channels, height, width];
            let logits = self
                .network
                .logits(self.network.features_of_pixels(pixels, shape)?)?;
            let values = Activation::R2(logits).into_values()?;
            if let Some(bad) = values.iter().position(|value| !value.is_finite()) {
                return Err(self.not_finite(&format!(
                    "its output for `{}` is",
                    batch[bad / classes].display()
                )));
            }
            all.extend(values.chunks_exact(classes).map(|row| self.top(row, k)));
            observer.observe(&Event::Evaluating {
                done: all.len(),
                total: images.len(),
            });
        }
        Ok(all)
    }

    fn top(&self, logits: &[f32], k: usize) -> Vec<Top> {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = logits
            .iter()
            .map(|&v| f64::from(v - largest).exp())
            .collect();
        let sum: f64 = powers.iter().sum();
        let probability = |class: usize| match self.network.graph().output_kind {
            OutputKind::SeveralClasses => 1.0 / (1.0 + f64::from(-logits[class]).exp()),
            _ => powers[class] / sum,
        };
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        order
            .into_iter()
            .take(k)
            .map(|class| Top {
                label: self.labels[class].clone(),
                probability: probability(class) as f32,
            })
            .collect()
    }

    /// Refuses a network whose output tells no classes.
    pub(crate) fn check_tells_classes(&self) -> Result<(), Error> {
        let graph = self.network.graph();
        if graph.output_kind.tells_classes() {
            return Ok(());
        }
        let shape = &graph.value(graph.output).shape;
        Err(Error::Unfit {
            reason: format!(
                "model `{}` is no classifier: it gives {} of shape {} for an image; `regraft run` gives them as they are, and `regraft train` puts a head on where one fits",
                self.path.display(),
                graph.output_kind,
                regraft_onnx::show_shape(shape),
            ),
        })
    }

    fn not_finite(&self, what: &str) -> Error {
        Error::Unfit {
            reason: format!(
                "model `{}`: {what} no finite number; its weights are damaged, or its training diverged",
                self.path.display()
            ),
        }
    }

    /// Evaluates on a folder of class folders; where it has a `test` or `val` folder of those, on that. Says where the images
    /// are some that the run was trained on.
    ///
    /// # Errors
    /// When the model has no labels, the folder has a class that it does not know, or an image cannot be decoded.
    pub fn evaluate(
        &self,
        data: &Path,
        batch_size: usize,
        on_bad_image: OnBadImage,
        observer: &mut dyn Observer,
    ) -> Result<Report, Error> {
        self.check_named()?;
        let folder = ["test", "val", "valid", "validation"]
            .iter()
            .map(|name| data.join(name))
            .find(|folder| folder.is_dir() && data.join("train").is_dir())
            .unwrap_or_else(|| data.to_owned());
        let set = regraft_data::open_split(&folder, Some(&self.labels))?;
        #[cfg(feature = "recipe")]
        let warnings = self.trained_on(&set)?.into_iter().collect();
        #[cfg(not(feature = "recipe"))]
        let warnings = Vec::new();
        let what = folder.display().to_string();
        self.report_on(set, what, warnings, batch_size, on_bad_image, observer)
    }

    pub(crate) fn check_named(&self) -> Result<(), Error> {
        self.check_tells_classes()?;
        if self.named {
            return Ok(());
        }
        Err(Error::Unfit {
            reason: format!(
                "model `{}` has no labels in its metadata, so its classes cannot be matched with folders",
                self.path.display()
            ),
        })
    }

    pub(crate) fn report_on(
        &self,
        set: ImageSet,
        data: String,
        warnings: Vec<String>,
        batch_size: usize,
        on_bad_image: OnBadImage,
        observer: &mut dyn Observer,
    ) -> Result<Report, Error> {
        let evaluation = self.evaluate_set(set, batch_size, on_bad_image, observer)?;
        if evaluation.predictions.is_empty() {
            return Err(Error::Unfit {
                reason: format!("{data}: none of the images could be decoded"),
            });
        }
        if !evaluation.loss.is_finite() {
            return Err(self.not_finite("its loss is"));
        }
        Ok(Report {
            data,
            warnings,
            ..report(&self.labels, &evaluation)
        })
    }

    fn evaluate_set(
        &self,
        set: ImageSet,
        batch_size: usize,
        on_bad_image: OnBadImage,
        observer: &mut dyn Observer,
    ) -> Result<Evaluation, Error> {
        let options = LoaderOptions {
            preprocess: self.preprocess.clone(),
            augment: Augment::None,
            batch_size,
            on_bad_image,
            ..LoaderOptions::default()
        };
        Ok(evaluate(
            &self.network,
            &Loader::new(set, options)?,
            observer,
        )?)
    }
}

/// An evaluation class by class.
pub(crate) fn report(labels: &[String], evaluation: &Evaluation) -> Report {
    let confusion = evaluation.confusion(labels.len());
    let share = |part: usize, whole: usize| {
        if whole == 0 {
            0.0
        } else {
            part as f64 / whole as f64
        }
    };
    let classes = labels
        .iter()
        .enumerate()
        .map(|(class, label)| {
            let right = confusion[class][class];
            let images: usize = confusion[class].iter().sum();
            let called: usize = confusion.iter().map(|row| row[class]).sum();
            let (precision, recall) = (share(right, called), share(right, images));
            let f1 = if right == 0 {
                0.0
            } else {
                2.0 * precision * recall / (precision + recall)
            };
            ClassMetrics {
                label: label.clone(),
                images,
                precision,
                recall,
                f1,
            }
        })
        .collect();
    Report {
        data: String::new(),
        warnings: Vec::new(),
        images: evaluation.predictions.len(),
        accuracy: evaluation.accuracy,
        top_5: (labels.len() > 5).then(|| evaluation.top_k(5)),
        loss: evaluation.loss,
        classes,
        confusion,
    }
}

/// The image files that arguments mean: files, folders (with all below them) and globs.
///
/// # Errors
/// When an argument means nothing.
pub fn images(arguments: &[String]) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for argument in arguments {
        let path = Path::new(argument);
        let before = found.len();
        if path.is_dir() {
            walk(path, &mut found)?;
        } else if path.is_file() {
            found.push(path.to_owned());
        } else if let Ok(paths) = glob::glob(argument) {
            found.extend(paths.filter_map(Result::ok).filter(|path| path.is_file()));
        }
        if found.len() == before {
            return Err(Error::Unfit {
                reason: format!(
                    "`{argument}` is no image, folder of images or pattern that matches any"
                ),
            });
        }
    }
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let io = |source| Error::Io {
        action: "reading",
        path: folder.to_owned(),
        source,
    };
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(io)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            walk(&entry, found)?;
        } else if regraft_data::is_image(&entry) {
            found.push(entry);
        }
    }
    Ok(())
}
