//! Folders of class folders, with or without splits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, ImageSet, Sample};
use crate::error::Error;
use crate::npy::is_npy;

/// File endings that count as images.
const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];

/// Reads a folder of class folders, or of train/, val/ and test/ of those.
pub(super) fn read(path: &Path) -> Result<Dataset, Error> {
    let mut warnings = Vec::new();
    let train_folder = path.join("train");
    if !train_folder.is_dir() {
        return Ok(Dataset {
            train: read_set(path, None, &mut warnings)?,
            validation: None,
            test: None,
            validation_is_drawn: false,
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
        validation_is_drawn: false,
        test,
        warnings,
    })
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

/// Reads one folder of class folders, against a given list of classes where there is one.
pub(super) fn read_set(
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
        let files = entries(folder)?;
        // Arrays count where a class has no images.
        let only_arrays = !files.iter().any(|file| is_image(file));
        for file in files {
            let counts = is_image(&file) || only_arrays && is_npy(&file);
            if file.is_file() && counts {
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
