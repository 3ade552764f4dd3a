//! IDX files, as MNIST and its kin come: all images of a split in one file, all labels in another, each perhaps
//! compressed with gzip.
//!
//! A file is a magic number (two zeros, the element type, the number of dimensions), the dimensions as big-endian u32, and the
//! values. Only unsigned bytes occur. Images are held in memory as they are, one byte a pixel.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use crate::dataset::{Dataset, ImageSet, Packed, Sample};
use crate::decode::MAX_SIDE;
use crate::error::Error;
use crate::packed::IdxImages;

/// What the images' file is called, after its split: as distributed, and as some tools unpack it.
const IMAGES: [&str; 2] = ["-images-idx3-ubyte", "-images.idx3-ubyte"];
const LABELS: [&str; 2] = ["-labels-idx1-ubyte", "-labels.idx1-ubyte"];
const COMPRESSED: &str = ".gz";
/// Names of the classes, one a line.
const CLASS_NAMES: &str = "labels.txt";
/// Element type of an unsigned byte.
const UNSIGNED_BYTE: u8 = 0x08;
/// First bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Deflate makes no more than so many bytes out of one.
const MOST_EXPANSION: u64 = 1032;

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Split {
    Train,
    Test,
}

impl Split {
    fn names(self) -> &'static [&'static str] {
        match self {
            Split::Train => &["train"],
            Split::Test => &["t10k", "test"],
        }
    }
}

/// Whether a folder holds IDX files.
pub(super) fn is_idx(folder: &Path) -> bool {
    [Split::Train, Split::Test]
        .iter()
        .any(|&split| has(folder, split))
}

/// Whether a folder of IDX files has a split.
fn has(folder: &Path, split: Split) -> bool {
    find(folder, split, IMAGES).is_some() || find(folder, split, LABELS).is_some()
}

/// Reads all splits that there are.
pub(super) fn read(path: &Path) -> Result<Dataset, Error> {
    let train = read_split(path, Split::Train, None)?;
    let test = match has(path, Split::Test) {
        true => Some(read_split(path, Split::Test, Some(&train.classes))?),
        false => None,
    };
    Ok(Dataset {
        train,
        validation: None,
        validation_is_drawn: false,
        test,
        warnings: Vec::new(),
    })
}

/// Reads the images to test on where there are any, else those to train on.
pub(super) fn read_one(path: &Path, classes: Option<&[String]>) -> Result<ImageSet, Error> {
    let split = match has(path, Split::Test) {
        true => Split::Test,
        false => Split::Train,
    };
    read_split(path, split, classes)
}

/// Reads a split, against a given list of classes where there is one.
///
/// Without a list, the classes are those of the labels that occur, under their numbers or the names in `labels.txt`.
///
/// # Errors
/// When a file is missing, damaged or fits badly to its other, or a label has no name or is not in the list.
fn read_split(folder: &Path, split: Split, classes: Option<&[String]>) -> Result<ImageSet, Error> {
    let path = wanted(folder, split, IMAGES)?;
    let labels_path = wanted(folder, split, LABELS)?;
    let labels = read_labels(&labels_path)?;
    let images = Arc::new(read_images(&path)?);
    if images.len() != labels.len() {
        return Err(fault(
            &path,
            format!(
                "it holds {} images, `{}` {} labels; they go together one to one: get both again from one place",
                images.len(),
                labels_path.display(),
                labels.len()
            ),
        ));
    }
    let mut occurs = [false; 256];
    for &label in &labels {
        occurs[usize::from(label)] = true;
    }
    let names = class_names(folder, &occurs)?;
    let present = names.iter().zip(occurs).filter(|(_, occurs)| *occurs);
    let known: Vec<String> = match classes {
        Some(classes) => classes.to_vec(),
        None => present.map(|(name, _)| name.clone()).collect(),
    };
    if classes.is_none() && known.len() < 2 {
        return Err(fault(
            &labels_path,
            format!(
                "all its labels are `{}`; a classifier needs two classes",
                known.join("")
            ),
        ));
    }
    // From the file's labels to positions in `known`.
    let mut positions = [0; 256];
    for (label, name) in names.iter().enumerate().filter(|(label, _)| occurs[*label]) {
        positions[label] = known
            .iter()
            .position(|class| class == name)
            .ok_or_else(|| Error::UnknownClass {
                class: name.clone(),
                path: labels_path.clone(),
                known: known.clone(),
            })?;
    }
    let mut samples: Vec<Sample> = labels
        .iter()
        .enumerate()
        .map(|(position, &label)| Sample {
            path: path.clone(),
            packed: Some(Packed {
                images: images.clone(),
                position,
            }),
            label: positions[usize::from(label)],
        })
        .collect();
    // By class and then by place, as images in folders are.
    samples.sort_by_key(|sample| sample.label);
    Ok(ImageSet {
        classes: known,
        samples,
    })
}

fn fault(path: &Path, reason: String) -> Error {
    Error::Idx {
        path: path.to_owned(),
        reason,
    }
}

/// The split's file with one of these endings; unpacked rather than compressed.
fn find(folder: &Path, split: Split, endings: [&str; 2]) -> Option<PathBuf> {
    ["", COMPRESSED].iter().find_map(|compressed| {
        split.names().iter().find_map(|name| {
            endings
                .iter()
                .map(|ending| folder.join(format!("{name}{ending}{compressed}")))
                .find(|path| path.is_file())
        })
    })
}

fn wanted(folder: &Path, split: Split, endings: [&str; 2]) -> Result<PathBuf, Error> {
    find(folder, split, endings).ok_or_else(|| {
        fault(
            folder,
            format!(
                "there is no file `{}{}`, nor one with `{COMPRESSED}`; IDX data needs images and labels of each split",
                split.names()[0],
                endings[0]
            ),
        )
    })
}

fn read_images(path: &Path) -> Result<IdxImages, Error> {
    let ([count, height, width], pixels) = read_file::<3>(path, "images")?;
    if count == 0 || height == 0 || width == 0 || height > MAX_SIDE || width > MAX_SIDE {
        return Err(fault(
            path,
            format!(
                "its header says {count} images of {height} x {width} pixels; expected at least one, of 1 to {MAX_SIDE} pixels a side"
            ),
        ));
    }
    Ok(IdxImages {
        height,
        width,
        pixels,
    })
}

fn read_labels(path: &Path) -> Result<Vec<u8>, Error> {
    let (_, labels) = read_file::<1>(path, "labels")?;
    Ok(labels)
}

/// The dimensions and values of a file of unsigned bytes.
///
/// No more memory is taken than the file's bytes can fill, whatever its header promises.
fn read_file<const RANK: usize>(path: &Path, what: &str) -> Result<([u32; RANK], Vec<u8>), Error> {
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut start = Vec::new();
    (&mut file).take(2).read_to_end(&mut start).map_err(io)?;
    let compressed = start == GZIP;
    let whole = start.as_slice().chain(BufReader::new(file));
    if compressed {
        parse(
            path,
            what,
            MultiGzDecoder::new(whole),
            size.saturating_mul(MOST_EXPANSION),
        )
    } else {
        parse(path, what, whole, size)
    }
}

/// `most`: bytes that `reader` can give.
fn parse<const RANK: usize>(
    path: &Path,
    what: &str,
    mut reader: impl Read,
    most: u64,
) -> Result<([u32; RANK], Vec<u8>), Error> {
    let broken = |error: std::io::Error| {
        fault(
            path,
            format!("it cannot be unpacked: {error}; download it again"),
        )
    };
    let header_size = 4 * (1 + RANK);
    let mut header = Vec::new();
    reader
        .by_ref()
        .take(header_size as u64)
        .read_to_end(&mut header)
        .map_err(broken)?;
    if header.len() < header_size {
        return Err(fault(
            path,
            format!(
                "it ends within its header; an IDX file of {what} begins with {header_size} bytes: download it again"
            ),
        ));
    }
    let expected = [0, 0, UNSIGNED_BYTE, RANK as u8];
    if header[..4] != expected {
        return Err(fault(
            path,
            format!(
                "it begins with {:02x?}, an IDX file of {what} with {expected:02x?} (unsigned bytes, {RANK} dimensions); is it the right file?",
                &header[..4]
            ),
        ));
    }
    let mut dims = [0; RANK];
    for (dim, bytes) in dims.iter_mut().zip(header[4..].chunks_exact(4)) {
        *dim = bytes
            .iter()
            .fold(0, |value, &byte| value << 8 | u32::from(byte));
    }
    let promised = dims
        .iter()
        .try_fold(1u64, |bytes, &dim| bytes.checked_mul(u64::from(dim)));
    let lie = |held: String| {
        let shape: Vec<String> = dims.iter().map(u32::to_string).collect();
        fault(
            path,
            format!(
                "its header promises {} bytes of {what} ({}), {held}: download it again",
                promised.map_or("more than 2^64".to_owned(), |bytes| bytes.to_string()),
                shape.join(" x "),
            ),
        )
    };
    let Some(length) = promised.filter(|&length| length <= most) else {
        return Err(lie("which its size cannot hold".to_owned()));
    };
    // The vector grows with what arrives; one byte more than promised shows a file that goes on.
    let mut values = Vec::new();
    reader
        .take(length + 1)
        .read_to_end(&mut values)
        .map_err(broken)?;
    match (values.len() as u64).cmp(&length) {
        std::cmp::Ordering::Equal => Ok((dims, values)),
        std::cmp::Ordering::Less => Err(lie(format!("it holds {}", values.len()))),
        std::cmp::Ordering::Greater => Err(lie("it goes on after them".to_owned())),
    }
}

/// A name for each label up to the highest that occurs: its line in `labels.txt`, or its number.
fn class_names(folder: &Path, occurs: &[bool; 256]) -> Result<Vec<String>, Error> {
    let count = occurs
        .iter()
        .rposition(|&occurs| occurs)
        .map_or(0, |last| last + 1);
    let path = folder.join(CLASS_NAMES);
    if !path.is_file() {
        return Ok((0..count).map(|label| label.to_string()).collect());
    }
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Io {
        path: path.clone(),
        source,
    })?;
    let names: Vec<String> = text
        .trim_end()
        .lines()
        .map(|line| line.trim().to_owned())
        .collect();
    if names.len() < count {
        return Err(fault(
            &path,
            format!(
                "it names {} classes, one a line; the labels go up to {}, so {count} names are needed",
                names.len(),
                count.saturating_sub(1)
            ),
        ));
    }
    for (number, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(fault(
                &path,
                format!("line {} is empty; expected a class's name", number + 1),
            ));
        }
        if names[..number].contains(name) {
            return Err(fault(
                &path,
                format!("it names `{name}` twice; each class needs its own"),
            ));
        }
    }
    Ok(names)
}
