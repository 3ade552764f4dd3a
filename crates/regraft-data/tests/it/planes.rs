//! Images of any number of channels.

use std::path::Path;

use regraft_data::*;
use tiff::encoder::{TiffEncoder, colortype};

/// `[2, 3, channels]`: value `100 * channel + place`.
fn value(channel: usize, place: usize) -> f32 {
    (100 * channel + place) as f32
}

fn pixel_by_pixel(channels: usize) -> Vec<f32> {
    (0..6)
        .flat_map(|place| (0..channels).map(move |channel| value(channel, place)))
        .collect()
}

fn planes_are_right(path: &Path, channels: usize) {
    let image = decode_planes(path, channels).unwrap();
    assert_eq!((image.width, image.height), (3, 2));
    assert_eq!(image.planes.len(), channels);
    for (channel, plane) in image.planes.iter().enumerate() {
        let right: Vec<f32> = (0..6).map(|place| value(channel, place)).collect();
        assert_eq!(*plane, right, "{}, channel {channel}", path.display());
    }
}

#[test]
fn arrays_and_tiff_give_each_channel_as_it_is_stored() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| place.path().join(name);
    std::fs::write(
        file("last.npy"),
        npy::write(&[2, 3, 13], &pixel_by_pixel(13)),
    )
    .unwrap();
    planes_are_right(&file("last.npy"), 13);
    let first: Vec<f32> = (0..13)
        .flat_map(|channel| (0..6).map(move |place| value(channel, place)))
        .collect();
    std::fs::write(file("first.npy"), npy::write(&[13, 2, 3], &first)).unwrap();
    planes_are_right(&file("first.npy"), 13);
    std::fs::write(file("one.npy"), npy::write(&[2, 3], &first[..6])).unwrap();
    planes_are_right(&file("one.npy"), 1);

    let words: Vec<u16> = pixel_by_pixel(4)
        .into_iter()
        .map(|value| value as u16)
        .collect();
    let target = std::fs::File::create(file("four.tif")).unwrap();
    TiffEncoder::new(target)
        .unwrap()
        .write_image::<colortype::RGBA16>(3, 2, &words)
        .unwrap();
    planes_are_right(&file("four.tif"), 4);
}

#[test]
fn transparency_is_a_channel_where_four_are_wanted() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("four.png");
    let pixels = image::RgbaImage::from_fn(3, 2, |x, y| image::Rgba([1, 2, 3, (10 * y + x) as u8]));
    pixels.save(&path).unwrap();
    let image = decode_planes(&path, 4).unwrap();
    assert_eq!(image.planes[3], [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
    assert_eq!(image.planes[0], [1.0; 6]);
    let grey = decode_planes(&path, 1).unwrap();
    assert_eq!(grey.planes.len(), 1);
}

#[test]
fn another_number_of_channels_is_an_error_that_says_both() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.npy");
    std::fs::write(&path, npy::write(&[2, 3, 5], &pixel_by_pixel(5))).unwrap();
    let message = decode_planes(&path, 4).unwrap_err().to_string();
    assert!(
        message.contains("[2, 3, 5]") && message.contains("4]"),
        "{message}"
    );
    let message = decode(&path).unwrap_err().to_string();
    assert!(message.contains("data.preprocess.channels"), "{message}");
    let picture = place.path().join("a.png");
    image::RgbImage::new(2, 2).save(&picture).unwrap();
    let message = decode_planes(&picture, 4).unwrap_err().to_string();
    assert!(
        message.contains("it has 3 channels, 4 are wanted"),
        "{message}"
    );
}

#[test]
fn channels_are_normalised_each_by_its_own_numbers_and_arrays_make_a_data_set() {
    let place = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        let folder = place.path().join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0..4 {
            let array = npy::write(&[2, 3, 2], &pixel_by_pixel(2));
            std::fs::write(folder.join(format!("{number}.npy")), array).unwrap();
        }
    }
    let preprocess = Preprocess {
        size: ImageSize {
            height: 2,
            width: 3,
        },
        resize: 2,
        crop: Crop::Squash,
        channels: Channels::Stored(2),
        scale: 1.0,
        mean: vec![0.0, 100.0],
        std: vec![1.0, 2.0],
        ..Preprocess::default()
    };
    let image = load_image(&place.path().join("a/0.npy"), &preprocess).unwrap();
    let right: Vec<f32> = (0..6).flat_map(|at| [at as f32, at as f32 / 2.0]).collect();
    assert_eq!(image, right);
    let options = OpenOptions {
        validation: 0.25,
        seed: 1,
    };
    let data = open(place.path(), &options).unwrap();
    assert_eq!(
        data.train.samples.len() + data.validation.map_or(0, |set| set.samples.len()),
        8
    );
}
