//! Folders of class folders, with or without splits, and of IDX files: which images there are and what they show.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::decode::{Decoded, decode};
use crate::error::{Error, some};
use crate::idx::{self, IdxImages, Split};
use crate::select::Selection;
use crate::split;

/// File endings that count as images.
const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];

/// One labelled image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The file.
    pub path: PathBuf,
    /// Which of the file's images, where it holds many.
    pub packed: Option<Packed>,
    /// Index into the set's classes.
    pub label: usize,
}

/// An image among those of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// All of them.
    pub images: Arc<IdxImages>,
    /// Its place among them, from 0.
    pub position: usize,
}

impl Sample {
    /// Its pixels.
    ///
    /// # Errors
    /// When its file cannot be decoded.
    pub fn decode(&self) -> Result<Decoded, Error> {
        let Some(Packed { images, position }) = &self.packed else {
            return decode(&self.path);
        };
        images.image(*position).ok_or_else(|| Error::BadImage {
            path: self.path.clone(),
            reason: format!("it has no image {position}"),
        })
    }
}

/// Labelled images, in an order that does not depend on the file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSet {
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Images, by class and then by path or place in their file.
    pub samples: Vec<Sample>,
}

impl ImageSet {
    /// Gives every image the label that its class has among `labels`, which become the set's classes.
    ///
    /// # Errors
    /// With the classes that are none of `labels`; the set is then as it was.
    pub fn relabel(&mut self, labels: &[String]) -> Result<(), Vec<String>> {
        let place = |class: &String| labels.iter().position(|label| label == class);
        let places: Vec<Option<usize>> = self.classes.iter().map(place).collect();
        let strangers: Vec<String> = self
            .classes
            .iter()
            .zip(&places)
            .filter(|(_, place)| place.is_none())
            .map(|(class, _)| class.clone())
            .collect();
        if !strangers.is_empty() {
            return Err(strangers);
        }
        for sample in &mut self.samples {
            if let Some(Some(place)) = places.get(sample.label) {
                sample.label = *place;
            }
        }
        self.classes = labels.to_vec();
        Ok(())
    }
}

/// A data set with its splits.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What is trained on.
    pub train: ImageSet,
    /// What the best epoch is chosen by, where there is one.
    pub validation: Option<ImageSet>,
    /// What is only measured on, where the folder has one.
    pub test: Option<ImageSet>,
    /// What a person should know of.
    pub warnings: Vec<String>,
}

/// How to split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenOptions {
    /// Share of the training images to validate on where the folder has no such split, 0 to 1 (exclusive); 0: none.
    pub validation: f64,
    /// Decides which.
    pub seed: u64,
}

impl ImageSet {
    /// A hash of paths, sizes, times and labels, for telling one set from another without reading images.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.classes.hash(&mut hasher);
        for sample in &self.samples {
            sample.path.hash(&mut hasher);
            sample.label.hash(&mut hasher);
            sample
                .packed
                .as_ref()
                .map(|packed| packed.position)
                .hash(&mut hasher);
            if let Ok(meta) = sample.path.metadata() {
                meta.len().hash(&mut hasher);
                meta.modified().ok().hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// Number of images of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for sample in &self.samples {
            counts[sample.label] += 1;
        }
        counts
    }
}

/// Opens a folder of class folders, of train/, val/ and test/ of those, or of IDX files (`train-images-idx3-ubyte` and its
/// labels; `t10k-…` or `test-…` to test on; with `.gz` or without).
///
/// IDX classes are called by their numbers, or as the lines of a file `labels.txt` beside the data say.
///
/// # Errors
/// When the folder is missing or laid out otherwise, a class is empty, a split has a class that training lacks, or an IDX
/// file is damaged.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Dataset, Error> {
    open_part(path, options, &Selection::default())
}

/// As [`open`], but only some of the classes, or of the images of each.
///
/// # Errors
/// As [`open`]; also when a selected class does not exist.
pub fn open_part(
    path: &Path,
    options: &OpenOptions,
    selection: &Selection,
) -> Result<Dataset, Error> {
    check_folder(path)?;
    let whole = if idx::is_idx(path) {
        read_idx(path)?
    } else {
        read_folders(path)?
    };
    let part = selection.apply(whole, options.seed)?;
    Ok(without_empty_splits(with_validation(part, options)))
}

fn read_idx(path: &Path) -> Result<Dataset, Error> {
    let train = idx::read(path, Split::Train, None)?;
    let test = match idx::has(path, Split::Test) {
        true => Some(idx::read(path, Split::Test, Some(&train.classes))?),
        false => None,
    };
    Ok(Dataset {
        train,
        validation: None,
        test,
        warnings: Vec::new(),
    })
}

fn read_folders(path: &Path) -> Result<Dataset, Error> {
    let mut warnings = Vec::new();
    let train_folder = path.join("train");
    if !train_folder.is_dir() {
        return Ok(Dataset {
            train: read_set(path, None, &mut warnings)?,
            validation: None,
            test: None,
            warnings,
        });
    }
    let train = read_set(&train_folder, None, &mut warnings)?;
    let mut named = |names: &[&str]| -> Result<Option<ImageSet>, Error> {
        match names
            .iter()
            .map(|name| path.join(name))
            .find(|folder| folder.is_dir())
        {
            Some(folder) => read_set(&folder, Some(&train.classes), &mut warnings).map(Some),
            None => Ok(None),
        }
    };
    let validation = named(&["val", "valid", "validation"])?;
    let test = named(&["test"])?;
    Ok(Dataset {
        train,
        validation,
        test,
        warnings,
    })
}

/// Holds out a share of the training images, where that is asked for and the data has no validation split of its own.
fn with_validation(mut data: Dataset, options: &OpenOptions) -> Dataset {
    if data.validation.is_some() || options.validation <= 0.0 {
        return data;
    }
    let (train, held_out, too_small) =
        split::stratified(data.train, options.validation, options.seed);
    match too_small.as_slice() {
        [] => {}
        [class] => data.warnings.push(format!(
            "class `{class}` has a single image, which stays in training: it is not validated"
        )),
        classes => data.warnings.push(format!(
            "{} classes have a single image, which stays in training: they are not validated ({})",
            classes.len(),
            some(classes)
        )),
    }
    Dataset {
        train,
        validation: Some(held_out),
        ..data
    }
}

/// A split without images says nothing of a network, so it is none.
fn without_empty_splits(mut data: Dataset) -> Dataset {
    for (name, split) in [
        ("validation", &mut data.validation),
        ("test", &mut data.test),
    ] {
        if split.as_ref().is_some_and(|set| set.samples.is_empty()) {
            *split = None;
            data.warnings.push(format!(
                "no image is left in the {name} split, so there is no {name}"
            ));
        }
    }
    data
}

/// Opens one folder of class folders, against a given list of classes where there is one (a model's labels, in their
/// order). Of IDX files, those to test on where there are any.
///
/// # Errors
/// As [`open`]; also when the folder has a class that is not in the list.
pub fn open_split(path: &Path, classes: Option<&[String]>) -> Result<ImageSet, Error> {
    check_folder(path)?;
    if !idx::is_idx(path) {
        return read_set(path, classes, &mut Vec::new());
    }
    let split = if idx::has(path, Split::Test) {
        Split::Test
    } else {
        Split::Train
    };
    idx::read(path, split, classes)
}

fn check_folder(path: &Path) -> Result<(), Error> {
    if path.is_file() {
        return Err(Error::Layout {
            path: path.to_owned(),
            reason: "it is a file".to_owned(),
        });
    }
    if !path.exists() {
        return Err(Error::Missing {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Entries of a folder by name, hidden ones left out.
fn entries(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}

/// Whether a file counts as an image, by its ending.
pub fn is_image(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

fn read_set(
    path: &Path,
    classes: Option<&[String]>,
    warnings: &mut Vec<String>,
) -> Result<ImageSet, Error> {
    let layout = |reason: String| Error::Layout {
        path: path.to_owned(),
        reason,
    };
    let all = entries(path)?;
    let folders: Vec<&PathBuf> = all.iter().filter(|entry| entry.is_dir()).collect();
    if folders.is_empty() {
        let loose = all.iter().filter(|entry| is_image(entry)).count();
        return Err(layout(match loose {
            0 => "it holds no class folders".to_owned(),
            n => format!(
                "it holds {n} images but no class folders; the folder's name is what tells the class"
            ),
        }));
    }
    let names = folders
        .iter()
        .map(|folder| {
            let name = folder.file_name().unwrap_or_default();
            name.to_str().map(str::to_owned).ok_or_else(|| {
                layout(format!(
                    "class folder `{}` has a name that is not valid UTF-8; rename it",
                    name.to_string_lossy()
                ))
            })
        })
        .collect::<Result<Vec<String>, Error>>()?;
    let known: Vec<String> = match classes {
        Some(classes) => classes.to_vec(),
        None if names.len() < 2 => {
            return Err(layout(format!(
                "it has one class, `{}`; a classifier needs two",
                names[0]
            )));
        }
        None => names.clone(),
    };
    warn_of_twins(&names, warnings);
    let mut samples = Vec::new();
    let mut ignored = 0;
    for (name, folder) in names.iter().zip(folders) {
        let label = known
            .iter()
            .position(|class| class == name)
            .ok_or_else(|| Error::UnknownClass {
                class: name.clone(),
                path: path.to_owned(),
                known: known.clone(),
            })?;
        let before = samples.len();
        for file in entries(folder)? {
            if file.is_file() && is_image(&file) {
                samples.push(Sample {
                    path: file,
                    packed: None,
                    label,
                });
            } else {
                ignored += 1;
            }
        }
        if samples.len() == before {
            return Err(Error::EmptyClass {
                class: name.clone(),
                path: path.to_owned(),
            });
        }
    }
    if ignored > 0 {
        warnings.push(format!(
            "{ignored} entries in `{}` are no image files and are left out",
            path.display()
        ));
    }
    samples.sort_by(|a, b| a.label.cmp(&b.label).then_with(|| a.path.cmp(&b.path)));
    Ok(ImageSet {
        classes: known,
        samples,
    })
}

/// Classes whose names differ only by case are most likely one class.
fn warn_of_twins(names: &[String], warnings: &mut Vec<String>) {
    let mut seen: HashMap<String, &String> = HashMap::new();
    for name in names {
        if let Some(first) = seen.insert(name.to_lowercase(), name) {
            warnings.push(format!(
                "classes `{first}` and `{name}` differ only by case; are they one?"
            ));
        }
    }
}
