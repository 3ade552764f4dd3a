//! Features that the next run finds on disk: the same bytes as computed, whoever computed them.

use std::path::PathBuf;

use crate::{Place, text};

impl Place {
    /// Features in the files of the cache, as one number of bytes.
    fn parts(&self) -> Vec<PathBuf> {
        let networks = std::fs::read_dir(self.path("cache/features")).unwrap();
        networks
            .flat_map(|network| std::fs::read_dir(network.unwrap().path()).unwrap())
            .map(|part| part.unwrap().path())
            .collect()
    }

    /// Trains into `out` with features on disk; gives what was said and the model.
    fn train_kept(&self, out: &str, words: &[&str]) -> (String, Vec<u8>) {
        let mut command = self.train(words);
        command.env("REGRAFT_CACHE", self.path("cache"));
        command.args(["--set", "train.feature_cache=disk", "--out", out]);
        let done = command.assert().success().get_output().clone();
        let model = self.bytes(&format!("{out}/model.onnx"));
        (String::from_utf8(done.stderr).unwrap(), model)
    }
}

#[test]
fn the_next_run_computes_only_what_is_new() {
    for head in ["model.head=solved", "model.head=linear"] {
        let place = Place::with_images();
        let mut plain = place.train(&["--set", head, "--out", "plain"]);
        plain.assert().success();
        let plain = place.bytes("plain/model.onnx");
        let words = ["--set", head];
        let (said, first) = place.train_kept("first", &words);
        assert!(!said.contains("kept from before"), "{said}");
        assert!(first == plain, "{head}: keeping features changes nothing");
        let parts = place.parts();
        assert!(!parts.is_empty());

        let (said, again) = place.train_kept("again", &words);
        assert!(said.contains("kept from before"), "{said}");
        assert!(again == first, "{head}: features from disk are the same");
        assert_eq!(place.parts().len(), parts.len());

        // A damaged file is computed again, and an image more is added.
        let mut bytes = std::fs::read(&parts[0]).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 255;
        std::fs::write(&parts[0], bytes).unwrap();
        let (_, mended) = place.train_kept("mended", &words);
        assert!(mended == first, "{head}: damage is seen");
        let train = place.path("data/train/flag");
        let mut images: Vec<PathBuf> = std::fs::read_dir(place.path("data/test/flag"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        images.sort();
        std::fs::copy(&images[0], train.join("one-more.png")).unwrap();
        let (said, _) = place.train_kept("more", &words);
        assert!(said.contains("kept from before"), "{said}");
    }
}

#[test]
fn several_runs_at_once_share_a_folder() {
    let place = Place::with_images();
    let models: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let run = |out: &'static str| {
            let place = &place;
            scope.spawn(move || place.train_kept(out, &["--set", "model.head=solved"]).1)
        };
        let runs = ["a", "b", "c"].map(run);
        runs.map(|run| run.join().unwrap()).into()
    });
    assert!(models.iter().all(|model| *model == models[0]));
    for part in place.parts() {
        assert!(text(&part).ends_with(".safetensors"), "{part:?}");
    }
}

/// Features that cannot be kept cost the next run its time, and this one nothing.
#[test]
fn a_folder_that_cannot_be_written_to_is_told() {
    let place = Place::with_images();
    std::fs::write(place.path("cache"), "a file").unwrap();
    let (said, _) = place.train_kept("run", &["--set", "model.head=solved"]);
    assert!(said.contains("features are not kept"), "{said}");
}
