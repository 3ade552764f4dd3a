//! Folders of IDX files, well made, badly made and damaged.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use regraft_data::*;

const SIDE: [u32; 2] = [3, 2];

fn header(kind: u8, dims: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes
}

/// Images of 3 x 2, each of its own grey.
fn images(count: u32) -> Vec<u8> {
    let mut bytes = header(8, &[count, SIDE[0], SIDE[1]]);
    bytes.extend((0..count).flat_map(|index| vec![index as u8; 6]));
    bytes
}

fn labels(labels: &[u8]) -> Vec<u8> {
    let mut bytes = header(8, &[labels.len() as u32]);
    bytes.extend(labels);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(root.path().join(name), bytes).unwrap();
    }
    root
}

/// Twelve images of four classes to train on, three to test on.
fn complete() -> tempfile::TempDir {
    let train: Vec<u8> = (0..12).map(|index| index % 4).collect();
    folder(&[
        ("train-images-idx3-ubyte.gz", &gzip(&images(12))),
        ("train-labels-idx1-ubyte.gz", &gzip(&labels(&train))),
        ("t10k-images-idx3-ubyte", &images(3)),
        ("t10k-labels-idx1-ubyte", &labels(&[3, 1, 0])),
    ])
}

const WHOLE: OpenOptions = OpenOptions {
    validation: 0.0,
    seed: 1,
};

fn refusal(path: &Path) -> String {
    open(path, &WHOLE).unwrap_err().to_string()
}

/// What is said of a training set of these two files.
fn check(images: &[u8], labels: &[u8], expected: &str) {
    let root = folder(&[
        ("train-images-idx3-ubyte", images),
        ("train-labels-idx1-ubyte", labels),
    ]);
    let message = refusal(root.path());
    assert!(message.contains(expected), "{message}");
    assert!(message.contains("-ubyte`"), "{message}");
}

fn greys(set: &ImageSet) -> Vec<u8> {
    let grey = |sample: &Sample| sample.decode().unwrap().rgb[0];
    set.samples.iter().map(grey).collect()
}

#[test]
fn a_folder_of_idx_files_is_a_data_set_with_a_test_split() {
    let root = complete();
    let data = open(root.path(), &WHOLE).unwrap();
    assert_eq!(data.train.classes, ["0", "1", "2", "3"]);
    assert_eq!(data.train.counts(), [3; 4]);
    assert_eq!(greys(&data.train), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    let test = data.test.unwrap();
    assert_eq!(test.classes, data.train.classes);
    assert_eq!(greys(&test), [2, 1, 0]);
    let decoded = test.samples[0].decode().unwrap();
    assert_eq!((decoded.height, decoded.width), (3, 2));
    assert_eq!(decoded.rgb, [2; 18]);
}

#[test]
fn images_go_through_the_loader_like_any_others() {
    let root = complete();
    let options = OpenOptions {
        validation: 0.34,
        ..WHOLE
    };
    let data = open(root.path(), &options).unwrap();
    assert_eq!(data.validation.unwrap().counts(), [1; 4]);
    let options = LoaderOptions {
        preprocess: Preprocess {
            size: regraft_data::ImageSize::square(4),
            resize: 4,
            ..Preprocess::default()
        },
        ..LoaderOptions::default()
    };
    let batch = Loader::new(data.train, options).unwrap().epoch(0).next();
    let batch = batch.unwrap().unwrap();
    assert_eq!(batch.shape, [8, 3, 4, 4]);
    assert_eq!(batch.labels, [0, 0, 1, 1, 2, 2, 3, 3]);
}

#[test]
fn classes_may_have_names() {
    let root = complete();
    let names = root.path().join("labels.txt");
    std::fs::write(&names, "shirt\r\nbag\nboot\nhat\n").unwrap();
    let data = open(root.path(), &WHOLE).unwrap();
    assert_eq!(data.train.classes, ["shirt", "bag", "boot", "hat"]);
    std::fs::write(&names, "shirt\nbag\n").unwrap();
    let message = refusal(root.path());
    assert!(message.contains("4 names are needed"), "{message}");
    std::fs::write(&names, "shirt\nbag\nshirt\nhat\n").unwrap();
    assert!(refusal(root.path()).contains("`shirt` twice"));
    std::fs::write(&names, "shirt\n\nboot\nhat\n").unwrap();
    assert!(refusal(root.path()).contains("line 2 is empty"));
}

#[test]
fn the_test_images_are_evaluated_against_a_models_labels() {
    let root = complete();
    let known = ["3", "2", "1", "0"].map(str::to_owned);
    let set = open_split(root.path(), Some(&known)).unwrap();
    assert_eq!(greys(&set), [0, 1, 2]);
    let message = open_split(root.path(), Some(&known[..2])).unwrap_err();
    assert!(message.to_string().contains("class `0`"), "{message}");
}

#[test]
fn labels_that_do_not_occur_are_no_classes() {
    let root = folder(&[
        ("train-images-idx3-ubyte", &images(4)),
        ("train-labels-idx1-ubyte", &labels(&[7, 2, 7, 2])),
    ]);
    let data = open(root.path(), &WHOLE).unwrap();
    assert_eq!(data.train.classes, ["2", "7"]);
    assert_eq!(greys(&data.train), [1, 3, 0, 2]);
    assert!(data.test.is_none());
}

#[test]
fn missing_files_are_named() {
    let root = folder(&[("train-labels-idx1-ubyte", &labels(&[0, 1]))]);
    assert!(refusal(root.path()).contains("no file `train-images-idx3-ubyte`"));
    let root = folder(&[("t10k-images-idx3-ubyte", &images(2))]);
    assert!(refusal(root.path()).contains("no file `train-images-idx3-ubyte`"));
    let root = folder(&[("train-images-idx3-ubyte", &images(2))]);
    assert!(refusal(root.path()).contains("no file `train-labels-idx1-ubyte`"));
}

#[test]
fn bad_files_say_what_is_wrong_with_them() {
    let good = labels(&[0, 1]);
    check(b"", &good, "ends within its header");
    check(&images(2)[..15], &good, "ends within its header");
    check(&images(2)[..20], &good, "(2 x 3 x 2), it holds 4");
    check(
        &[&images(2)[..], b"x"].concat(),
        &good,
        "goes on after them",
    );
    check(&labels(&[0; 20]), &good, "is it the right file?");
    check(&header(0x0d, &[2, 3, 2]), &good, "is it the right file?");
    check(&header(8, &[u32::MAX; 3]), &good, "more than 2^64");
    check(&header(8, &[0, 3, 2]), &good, "0 images of 3 x 2 pixels");
    check(&header(8, &[2, 0, 2]), &good, "2 images of 0 x 2 pixels");
    check(&images(3), &good, "holds 3 images");
    check(&images(2), &labels(&[1, 1]), "all its labels are `1`");
    let packed = gzip(&images(2));
    check(&packed[..packed.len() - 9], &good, "download it again");
    // A header that promises 4 GiB in a few bytes.
    let lie = gzip(&header(8, &[u32::MAX, 1, 1]));
    check(&lie, &good, "which its size cannot hold");
}

#[test]
fn some_classes_and_some_images_can_be_selected() {
    let root = complete();
    let select = |classes: Option<&[&str]>, per_class, seed| {
        let selection = Selection {
            classes: classes.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            per_class,
        };
        open_part(root.path(), &OpenOptions { seed, ..WHOLE }, &selection)
    };
    let data = select(Some(&["3", "0"]), None, 1).unwrap();
    assert_eq!(data.train.classes, ["3", "0"]);
    assert_eq!(greys(&data.train), [3, 7, 11, 0, 4, 8]);
    assert_eq!(greys(&data.test.unwrap()), [0, 2]);

    let two = select(None, Some(2), 1).unwrap().train;
    assert_eq!(two.counts(), [2; 4]);
    assert_eq!(two, select(None, Some(2), 1).unwrap().train);
    let one = select(None, Some(1), 1).unwrap().train;
    assert!(
        one.samples
            .iter()
            .all(|sample| two.samples.contains(sample))
    );
    let seeds = |seed| greys(&select(None, Some(1), seed).unwrap().train);
    assert!((2..20).any(|seed| seeds(seed) != seeds(1)));
    // A class keeps its images whatever the other classes are.
    let part = select(Some(&["2", "3"]), Some(2), 1).unwrap().train;
    assert_eq!(greys(&part), greys(&two)[4..]);
    assert_eq!(select(None, Some(99), 1).unwrap().train.counts(), [3; 4]);

    let refused = |classes: &[&str]| select(Some(classes), None, 1).unwrap_err().to_string();
    assert!(refused(&["0", "9"]).contains("`9`, which the data has not; it has 0, 1, 2, 3"));
    assert!(refused(&["0", "0"]).contains("`0` twice"));
    assert!(refused(&["0"]).contains("at least 2"));
    assert!(select(None, Some(0), 1).is_err());
}

#[test]
fn a_selection_works_on_folders_of_images_too() {
    let root = crate::folder(&["a", "b", "c"], 5);
    let selection = Selection {
        classes: Some(vec!["c".to_owned(), "a".to_owned()]),
        per_class: Some(4),
    };
    let options = OpenOptions {
        validation: 0.25,
        seed: 1,
    };
    let data = open_part(root.path(), &options, &selection).unwrap();
    assert_eq!(data.train.classes, ["c", "a"]);
    assert_eq!(data.train.counts(), [3, 3]);
    assert_eq!(data.validation.unwrap().counts(), [1, 1]);
    assert!(data.train.samples[0].path.parent().unwrap().ends_with("c"));
}

#[test]
#[ignore = "needs the package dataset-fashion-mnist"]
fn all_of_fashion_mnist_is_read() {
    // Where Debian's package `dataset-fashion-mnist` puts its files.
    let folder = Path::new("/usr/share/datasets/fashion-mnist");
    let data = open(folder, &WHOLE).unwrap();
    let test = data.test.unwrap();
    assert_eq!(data.train.counts(), [6000; 10]);
    assert_eq!(test.counts(), [1000; 10]);
    let sum: u64 = data
        .train
        .samples
        .iter()
        .map(|sample| {
            let decoded = sample.decode().unwrap();
            assert_eq!((decoded.width, decoded.height), (28, 28));
            decoded
                .rgb
                .iter()
                .step_by(3)
                .map(|&v| u64::from(v))
                .sum::<u64>()
        })
        .sum();
    // The mean of the training images, as everybody normalises with.
    let mean = sum as f64 / (60_000.0 * 784.0 * 255.0);
    assert!((mean - 0.2860).abs() < 5e-5, "{mean}");
    assert!(test.samples.iter().all(|sample| sample.decode().is_ok()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_files_are_read_or_refused(
        compressed in any::<bool>(),
        of_images in any::<bool>(),
        cut in 0usize..100,
        changes in proptest::collection::vec((0usize..100, any::<u8>()), 0..4),
    ) {
        let (pixels, names) = (images(6), labels(&[0, 1, 0, 1, 0, 1]));
        let mut bytes = if of_images { pixels.clone() } else { names.clone() };
        if compressed {
            bytes = gzip(&bytes);
        }
        for (place, value) in changes {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        if cut < 50 {
            bytes.truncate(cut);
        }
        let (pixels, names) = if of_images { (bytes, names) } else { (pixels, bytes) };
        let root = folder(&[("train-images-idx3-ubyte", &pixels), ("train-labels-idx1-ubyte", &names)]);
        if let Ok(data) = open(root.path(), &WHOLE) {
            prop_assert_eq!(data.train.samples.len(), 6);
            for sample in &data.train.samples {
                prop_assert!(sample.decode().is_ok());
                prop_assert!(sample.label < data.train.classes.len());
            }
        }
    }

    #[test]
    fn what_is_written_is_read(pixels in proptest::collection::vec(any::<u8>(), 2..60), compressed in any::<bool>()) {
        let count = pixels.len() as u32;
        let images = [header(8, &[count, 1, 1]), pixels.clone()].concat();
        let kinds: Vec<u8> = (0..pixels.len()).map(|index| (index % 2) as u8).collect();
        let images = if compressed { gzip(&images) } else { images };
        let root = folder(&[("test-images.idx3-ubyte", &images), ("test-labels.idx1-ubyte", &labels(&kinds))]);
        let set = open_split(root.path(), None).unwrap();
        let even = pixels.iter().step_by(2).chain(pixels.iter().skip(1).step_by(2));
        prop_assert_eq!(greys(&set), even.copied().collect::<Vec<u8>>());
    }
}
