//! Features of images in files, for the next run: what was computed once of the same image by the same network is read.
//!
//! `ROOT/NETWORK/PART.safetensors`: NETWORK names everything but the image that features depend on, a part holds the features
//! of some images, which it names by their contents. Parts appear whole, are checked when they are read, and are never
//! changed, so that several processes may read and write the same folder. The parts that were used longest ago make room for
//! new ones.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Most bytes that a folder takes, unless it is told otherwise.
const LIMIT: u64 = 8 << 30;
/// Parts hold about as many bytes as this, so that a pass that is cut off loses little.
pub(crate) const PART_BYTES: usize = 64 << 20;
/// Longest header of a part that is read.
const HEADER_LIMIT: u64 = 1 << 20;
/// An unfinished part of this age is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);
const ENDING: &str = ".safetensors";
const UNFINISHED: &str = ".unfinished";
const IMAGES: &str = "images";
const FEATURES: &str = "features";

/// The SHA-256 of an image's file, or of its bytes in an archive.
pub(crate) type ImageHash = [u8; 32];

/// A folder that keeps features between runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureFolder {
    /// Where it is. It is made when it is first written to.
    pub root: PathBuf,
    /// Most bytes that it takes.
    pub limit: u64,
}

/// What stands side by side in the features of an image: names and widths.
pub type Columns = [(String, usize)];

/// The header of a part.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    columns: Vec<(String, usize)>,
    /// CRC-32 of images and features.
    checksum: u32,
}

impl FeatureFolder {
    /// A folder of at most 8 GiB.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            limit: LIMIT,
        }
    }

    /// Features of those of `wanted` images that are known, each as wide as `columns` together. Parts that cannot be read or
    /// whose checksum is wrong count as absent.
    pub(crate) fn known(
        &self,
        network: &str,
        columns: &Columns,
        wanted: &HashSet<ImageHash>,
    ) -> HashMap<ImageHash, Vec<f32>> {
        let mut known = HashMap::new();
        let mut parts = parts(&self.root.join(network));
        parts.sort();
        for path in parts {
            if known.len() == wanted.len() {
                break;
            }
            let Some(header) = header(&path) else {
                continue;
            };
            let Some(ranges) = ranges(&header.columns, columns) else {
                continue;
            };
            let before = known.len();
            if read(&path, &header, &ranges, wanted, &mut known).is_some() && known.len() > before {
                // Whoever makes room sees that it was of use. Where that cannot be noted, nothing is lost.
                let _ = File::options()
                    .write(true)
                    .open(&path)
                    .and_then(|file| file.set_modified(SystemTime::now()));
            }
        }
        known
    }

    /// Adds a part: `features` holds a row as wide as `columns` together for each of `images`.
    pub(crate) fn put(
        &self,
        network: &str,
        columns: &Columns,
        images: &[ImageHash],
        features: &[f32],
    ) -> io::Result<()> {
        let width: usize = columns.iter().map(|(_, width)| width).sum();
        let names: &[u8] = images.as_flattened();
        let values: &[u8] = bytemuck::cast_slice(features);
        let header = Header {
            columns: columns.to_vec(),
            checksum: checksum(names, values),
        };
        let tensors = [
            (
                IMAGES,
                TensorView::new(Dtype::U8, vec![images.len(), 32], names),
            ),
            (
                FEATURES,
                TensorView::new(Dtype::F32, vec![images.len(), width], values),
            ),
        ];
        let mut views = Vec::new();
        for (name, view) in tensors {
            views.push((name, view.map_err(io::Error::other)?));
        }
        let json = serde_json::to_string(&header).map_err(io::Error::other)?;
        let metadata = HashMap::from([("part".to_owned(), json)]);
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(io::Error::other)?;
        let folder = self.root.join(network);
        std::fs::create_dir_all(&folder)?;
        // The same images under the same columns have the same name: two processes that computed them write one file.
        let mut digest = Sha256::new();
        digest.update(header.checksum.to_le_bytes());
        digest.update(serde_json::to_vec(&header.columns).map_err(io::Error::other)?);
        digest.update(names);
        let path = folder.join(format!("{}{ENDING}", hex(&digest.finalize()[..16])));
        self.make_room(bytes.len() as u64, &folder)?;
        let mut file = tempfile::Builder::new()
            .suffix(UNFINISHED)
            .tempfile_in(&folder)?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes parts until so many bytes more fit: those used longest ago first, those of `network` last.
    fn make_room(&self, bytes: u64, network: &Path) -> io::Result<()> {
        let mut total = 0;
        let mut old: Vec<(bool, SystemTime, u64, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(&self.root)?.flatten() {
            let folder = entry.path();
            for path in parts(&folder) {
                let Ok(metadata) = path.metadata() else {
                    continue;
                };
                total += metadata.len();
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                old.push((folder == network, used, metadata.len(), path));
            }
            remove_abandoned(&folder);
        }
        old.sort();
        for (_, _, len, path) in old {
            if total + bytes <= self.limit {
                break;
            }
            // Another process may have been quicker.
            if std::fs::remove_file(&path).is_ok() {
                total -= len;
                if let Some(folder) = path.parent().filter(|folder| *folder != network) {
                    // Only succeeds once the folder is empty.
                    let _ = std::fs::remove_dir(folder);
                }
            }
        }
        match total + bytes <= self.limit {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "they take {} MiB, and the folder's limit is {} MiB",
                bytes >> 20,
                self.limit >> 20
            ))),
        }
    }
}

/// The finished parts in a network's folder; none where it is not there or not ours.
fn parts(folder: &Path) -> Vec<PathBuf> {
    ours(folder, |name| {
        name.strip_suffix(ENDING)
            .is_some_and(|stem| is_hex(stem, 32))
    })
}

fn remove_abandoned(folder: &Path) {
    for path in ours(folder, |name| {
        name.starts_with(".tmp") && name.ends_with(UNFINISHED)
    }) {
        let age = path.metadata().and_then(|metadata| metadata.modified());
        let age = age.ok().and_then(|modified| modified.elapsed().ok());
        if age.is_some_and(|age| age > ABANDONED) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Files with names that we give, in a folder with a name that we give.
fn ours(folder: &Path, named: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let name = folder.file_name().and_then(|name| name.to_str());
    if !name.is_some_and(|name| is_hex(name, 64)) {
        return Vec::new();
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(&named))
        .map(|entry| entry.path())
        .collect()
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Bytes as lower-case digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash that [`regraft_data::hashes`] writes; none where the image could not be read.
pub(crate) fn from_hex(text: &str) -> Option<ImageHash> {
    if !is_hex(text, 64) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(hash)
}

fn checksum(images: &[u8], features: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(images);
    hasher.update(features);
    hasher.finalize()
}

/// The header of a part, without its features.
fn header(path: &Path) -> Option<Header> {
    let mut file = File::open(path).ok()?;
    let mut len = [0; 8];
    file.read_exact(&mut len).ok()?;
    let bytes = u64::from_le_bytes(len);
    if bytes > HEADER_LIMIT {
        return None;
    }
    let mut start = Vec::new();
    file.take(bytes).read_to_end(&mut start).ok()?;
    // The library reads a header only together with all of the file.
    let json: serde_json::Value = serde_json::from_slice(&start).ok()?;
    serde_json::from_str(json.get("__metadata__")?.get("part")?.as_str()?).ok()
}

/// Where the columns of `wanted` begin and end among those that are `there`; none where one is missing.
fn ranges(there: &Columns, wanted: &Columns) -> Option<Vec<std::ops::Range<usize>>> {
    let mut first = 0;
    let mut found = HashMap::new();
    for (name, width) in there {
        found.insert(name, first..first + width);
        first += width;
    }
    wanted
        .iter()
        .map(|(name, width)| {
            found
                .get(name)
                .filter(|range| range.len() == *width)
                .cloned()
        })
        .collect()
}

/// Adds what a part knows of the wanted images.
fn read(
    path: &Path,
    header: &Header,
    ranges: &[std::ops::Range<usize>],
    wanted: &HashSet<ImageHash>,
    known: &mut HashMap<ImageHash, Vec<f32>>,
) -> Option<()> {
    let bytes = std::fs::read(path).ok()?;
    let tensors = SafeTensors::deserialize(&bytes).ok()?;
    let images = tensors.tensor(IMAGES).ok()?;
    let features = tensors.tensor(FEATURES).ok()?;
    if checksum(images.data(), features.data()) != header.checksum {
        return None;
    }
    let width: usize = header.columns.iter().map(|(_, width)| width).sum();
    let rows = features.data().chunks_exact(4 * width.max(1));
    for (image, row) in images.data().as_chunks::<32>().0.iter().zip(rows) {
        if wanted.contains(image) && !known.contains_key(image) {
            let values = ranges.iter().flat_map(|range| {
                let bytes = &row[4 * range.start..4 * range.end];
                bytes.as_chunks::<4>().0.iter().copied()
            });
            known.insert(*image, values.map(f32::from_le_bytes).collect());
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NETWORK: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn columns(names: &[&str]) -> Vec<(String, usize)> {
        names.iter().map(|name| ((*name).to_owned(), 2)).collect()
    }

    fn part(folder: &FeatureFolder, network: &str, images: &[u8]) {
        let hashes: Vec<ImageHash> = images.iter().map(|image| [*image; 32]).collect();
        let features: Vec<f32> = images
            .iter()
            .flat_map(|image| (0..4).map(move |i| f32::from(*image) + i as f32 / 10.0))
            .collect();
        folder
            .put(network, &columns(&["a", "b"]), &hashes, &features)
            .unwrap();
    }

    fn known(
        folder: &FeatureFolder,
        network: &str,
        names: &[&str],
        images: &[u8],
    ) -> Vec<Vec<f32>> {
        let wanted = images.iter().map(|image| [*image; 32]).collect();
        let found = folder.known(network, &columns(names), &wanted);
        let found = images.iter().filter_map(|image| found.get(&[*image; 32]));
        found.cloned().collect()
    }

    #[test]
    fn some_columns_of_some_images_are_found_in_any_order() {
        let root = tempfile::tempdir().unwrap();
        let folder = FeatureFolder::new(root.path());
        part(&folder, NETWORK, &[1, 2]);
        part(&folder, NETWORK, &[3]);
        let found = known(&folder, NETWORK, &["b"], &[1, 3, 4]);
        assert_eq!(found, [[1.2, 1.3], [3.2, 3.3]]);
        let found = known(&folder, NETWORK, &["b", "a"], &[2]);
        assert_eq!(found, [[2.2, 2.3, 2.0, 2.1]]);
        assert!(known(&folder, NETWORK, &["c"], &[1]).is_empty());
        let other = NETWORK.replace('0', "1");
        assert!(known(&folder, &other, &["a"], &[1]).is_empty());
    }

    /// Whatever a byte of a part becomes, no wrong number is read.
    #[test]
    fn a_damaged_part_counts_as_absent() {
        let root = tempfile::tempdir().unwrap();
        let folder = FeatureFolder::new(root.path());
        part(&folder, NETWORK, &[1, 2]);
        let path = parts(&root.path().join(NETWORK)).remove(0);
        let whole = std::fs::read(&path).unwrap();
        let right = known(&folder, NETWORK, &["a", "b"], &[1, 2]);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            let found = known(&folder, NETWORK, &["a", "b"], &[1, 2]);
            assert!(found.is_empty() || found == right, "byte {at}");
        }
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(known(&folder, NETWORK, &["a", "b"], &[1, 2]).is_empty());
        part(&folder, NETWORK, &[1, 2]);
        assert_eq!(known(&folder, NETWORK, &["a", "b"], &[1, 2]), right);
    }

    #[test]
    fn what_was_used_longest_ago_makes_room_and_strangers_stay() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = FeatureFolder::new(root.path());
        let other = NETWORK.replace('0', "1");
        part(&folder, &other, &[1]);
        part(&folder, NETWORK, &[2]);
        let stranger = root.path().join("notes.safetensors");
        std::fs::write(&stranger, [0; 4096]).unwrap();
        let beside = root.path().join(NETWORK).join("notes.txt");
        std::fs::write(&beside, "mine").unwrap();
        let size = parts(&root.path().join(NETWORK))[0]
            .metadata()
            .unwrap()
            .len();
        folder.limit = 2 * size;
        part(&folder, NETWORK, &[3]);
        assert!(known(&folder, &other, &["a"], &[1]).is_empty());
        assert_eq!(known(&folder, NETWORK, &["a"], &[2, 3]).len(), 2);
        assert!(stranger.is_file() && beside.is_file());
        folder.limit = size / 2;
        let columns = columns(&["a", "b"]);
        let refused = folder.put(NETWORK, &columns, &[[4; 32]], &[0.0; 4]);
        assert!(refused.unwrap_err().to_string().contains("limit"));
    }

    #[test]
    fn processes_that_write_the_same_part_at_once_leave_one() {
        let root = tempfile::tempdir().unwrap();
        let folder = FeatureFolder::new(root.path());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| part(&folder, NETWORK, &[1, 2, 3]));
            }
        });
        let files = std::fs::read_dir(root.path().join(NETWORK)).unwrap();
        assert_eq!(files.count(), 1);
        assert_eq!(known(&folder, NETWORK, &["a"], &[1, 2, 3]).len(), 3);
    }
}
