//! The manifest of the project, users' own, and hostile ones.

use std::collections::BTreeSet;

use regraft_zoo::{Channels, Error, Labels, Manifest, Source, Weights};

const SHA: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// A manifest of one model with these lines.
fn model(lines: &str) -> Result<Manifest, Error> {
    let has = |key: &str| lines.lines().any(|line| line.starts_with(key));
    let mut text = String::from("[[model]]\n");
    for (key, value) in [
        ("name", "name = \"net\""),
        ("bytes", "bytes = 5"),
        ("sha256", &format!("sha256 = \"{SHA}\"")),
        ("sources", "sources = []"),
    ] {
        if !has(key) {
            text += &format!("{value}\n");
        }
    }
    Manifest::parse(&format!("{text}{lines}\n"))
}

fn fault(lines: &str) -> String {
    model(lines).unwrap_err().to_string()
}

#[test]
fn the_built_in_manifest_holds() {
    let manifest = Manifest::builtin().unwrap();
    assert_eq!(manifest.entries().len(), 127);
    let mut shorts = BTreeSet::new();
    let mut architectures = BTreeSet::new();
    for entry in manifest.entries() {
        let name = &entry.name;
        architectures.extend(entry.architecture.clone());
        if let Some(short) = &entry.short {
            assert_eq!(Some(short), entry.architecture.as_ref(), "{name}");
            assert!(shorts.insert(short.clone()), "{name}");
        }
        assert!(
            entry.family.is_some() && entry.license.is_some() && entry.input.is_some(),
            "{name}"
        );
        assert!(
            entry.preprocess.is_some() && entry.labels.is_some(),
            "{name}"
        );
        // The embedded network comes with the command.
        assert_eq!(entry.sources.is_empty(), name == "squeezenet1.1", "{name}");
        assert!(
            entry.top1.is_none() || entry.weights == Weights::Trained,
            "{name}"
        );
    }
    assert_eq!(
        shorts, architectures,
        "every architecture has one preferred entry"
    );
}

#[test]
fn names_short_names_and_families_are_found() {
    let manifest = Manifest::builtin().unwrap();
    let name = |asked: &str| manifest.get(asked).unwrap().name.as_str();
    assert_eq!(name("resnet18-v1-7"), "resnet18-v1-7");
    assert_eq!(name("resnet18"), "resnet18-v1-7");
    assert_eq!(name("vgg16"), "vgg16-7");
    assert_eq!(name("inception_v3"), "inception_v3_Opset17_timm");
    let of = |kin: &str| manifest.family(kin).unwrap();
    assert_eq!(of("resnet18")[0].name, "resnet18-v1-7");
    assert!(of("resnet").len() > of("resnet18").len());
    assert!(
        of("vgg")
            .iter()
            .all(|entry| entry.family.as_deref() == Some("vgg"))
    );
}

#[test]
fn an_unknown_name_lists_the_nearest() {
    let manifest = Manifest::builtin().unwrap();
    let message = manifest.get("ResNet-18").unwrap_err().to_string();
    assert!(
        message.starts_with("no model or family is named `ResNet-18`; near: `resnet"),
        "{message}"
    );
    assert!(message.contains("`resnet18`"), "{message}");
    let message = manifest.family("inceptoin").unwrap_err().to_string();
    assert!(message.contains("`inception`"), "{message}");
    let message = Manifest::default().get("a").unwrap_err().to_string();
    assert!(message.contains("the manifest is empty"), "{message}");
}

#[test]
fn preprocessing_follows_the_origin_of_the_weights() {
    let manifest = Manifest::builtin().unwrap();
    let of = |name: &str| manifest.get(name).unwrap().preprocess.clone().unwrap();
    let caffe = of("googlenet-12");
    assert_eq!(
        (caffe.channels, caffe.scale, caffe.mean),
        (Channels::Bgr, 1.0, vec![104.0, 117.0, 123.0])
    );
    let inception = of("inception_v3");
    assert_eq!(
        (inception.size, inception.resize, inception.mean),
        (299, 341, vec![0.5; 3])
    );
    let lite = of("efficientnet-lite4-11");
    assert_eq!((lite.mean, lite.std), (vec![127.0; 3], vec![128.0; 3]));
    assert_eq!(
        manifest.get("efficientnet_lite4").unwrap().input,
        Some([224, 224, 3])
    );
    let json = serde_json::to_string(&of("resnet18")).unwrap();
    assert_eq!(
        json,
        r#"{"size":224,"resize":256,"crop":"center","interpolation":"bilinear","channels":"rgb","scale":0.003921569,"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}"#
    );
}

#[test]
fn a_small_entry_is_enough() {
    let manifest = model("labels = [\"cat\", \"dog\"]").unwrap();
    let entry = manifest.get("net").unwrap();
    assert_eq!(
        (entry.file.as_str(), entry.bytes, entry.weights),
        ("net.onnx", 5, Weights::Trained)
    );
    assert_eq!(
        entry.labels,
        Some(Labels::Names(vec!["cat".to_owned(), "dog".to_owned()]))
    );
    assert_eq!(entry.preprocess, None);
}

#[test]
fn a_preset_is_the_manifests_own() {
    let table = "size = 8\nresize = 8\ncrop = \"squash\"\ninterpolation = \"nearest\"\nchannels = \"grey\"\nscale = 1\nmean = [0]\nstd = [1]";
    let text = format!(
        "[preprocess.tiny]\n{table}\n[[model]]\nname = \"net\"\nbytes = 5\nsha256 = \"{SHA}\"\nsources = []\npreprocess = \"tiny\"\ninput = [1, 8, 8]"
    );
    let manifest = Manifest::parse(&text).unwrap();
    assert_eq!(
        manifest
            .get("net")
            .unwrap()
            .preprocess
            .as_ref()
            .unwrap()
            .size,
        8
    );
    let message = Manifest::parse(&text.replace("= \"tiny\"", "= \"tinny\""))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("model `net`") && message.contains("near: `tiny`"),
        "{message}"
    );
    let message = fault("preprocess = \"imagenet\"");
    assert!(message.contains("no `[preprocess.imagenet]`"), "{message}");
}

#[test]
fn a_users_manifest_wins() {
    let mut manifest = Manifest::builtin().unwrap();
    let before = manifest.entries().len();
    manifest.merge(model("short = \"resnet18\"").unwrap());
    assert_eq!(manifest.get("resnet18").unwrap().name, "net");
    assert_eq!(manifest.get("resnet18-v1-7").unwrap().short, None);
    manifest.merge(model("name = \"vgg16-7\"").unwrap());
    assert_eq!(manifest.get("vgg16-7").unwrap().bytes, 5);
    assert_eq!(manifest.entries().len(), before + 1);
    manifest.merge(model("name = \"vgg19\"").unwrap());
    assert_eq!(manifest.get("vgg19").unwrap().bytes, 5);
    assert_eq!(manifest.get("vgg19-7").unwrap().short, None);
}

#[test]
fn paths_start_at_the_manifest_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(
        &file,
        format!("[[model]]\nname = \"net\"\nbytes = 5\nsha256 = \"{SHA}\"\nsources = [\"models\"]"),
    )
    .unwrap();
    let manifest = Manifest::load(&file).unwrap();
    assert_eq!(
        manifest.get("net").unwrap().sources,
        [Source::Local(folder.path().join("models"))]
    );
    let message = Manifest::load(&folder.path().join("none.toml"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("none.toml"), "{message}");
}

#[test]
fn a_file_name_that_leaves_its_folder_is_refused() {
    let long = "a".repeat(300);
    for file in [
        "",
        ".",
        "..",
        "../a.onnx",
        "a/b.onnx",
        "/etc/passwd",
        "a\\\\b",
        "C:a",
        ".lock",
        "a.part",
        "package",
        "nul",
        "COM1.onnx",
        "a\\u0000",
        "a\\n",
        "a.",
        &long,
    ] {
        let message = fault(&format!("file = \"{file}\""));
        assert!(
            message.contains("model `net`") && message.contains("expected a plain file name"),
            "{message}"
        );
        fault(&format!("name = \"{file}/\""));
    }
    assert!(model("file = \"my net (2).onnx\"").is_ok());
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    for (lines, says) in [
        ("bytes = 0", "at least 1"),
        ("bytes = -1", "bytes"),
        ("bytes = 99999999999999999999", "bytes"),
        ("sha256 = \"abc\"", "64 hexadecimal digits"),
        ("sources = [\"ftp://a/b\"]", "unknown kind `ftp`"),
        ("top1 = 101", "percentage"),
        ("top1 = nan", "percentage"),
        ("name = \"a b\"", "spaces"),
        ("short = \"net\"", "repeats"),
        ("input = [3, 224]", "input"),
    ] {
        let message = fault(lines);
        assert!(message.contains(says), "{lines}: {message}");
    }
    let table = |key: &str, value: &str| {
        let mut keys = vec![
            ("size", "8"),
            ("resize", "8"),
            ("crop", "\"center\""),
            ("interpolation", "\"nearest\""),
            ("channels", "\"rgb\""),
            ("scale", "1"),
            ("mean", "[0, 0, 0]"),
            ("std", "[1, 1, 1]"),
        ];
        keys.retain(|(name, _)| *name != key);
        keys.push((key, value));
        let words: Vec<String> = keys
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        model(&format!("preprocess = {{ {} }}", words.join(", ")))
    };
    assert!(table("size", "8").is_ok());
    for (key, value) in [
        ("size", "0"),
        ("size", "9"),
        ("scale", "0"),
        ("scale", "inf"),
        ("mean", "[0]"),
        ("mean", "[0, 0, nan]"),
        ("std", "[1, 1, 0]"),
        ("crop", "\"left\""),
        ("colour", "1"),
    ] {
        assert!(table(key, value).is_err(), "{key} = {value}");
    }
}

#[test]
fn unknown_keys_and_bad_toml_point_at_the_place() {
    let message = Manifest::parse("[[model]]\nname = \"net\"\nbites = 5\n")
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("line 3") && message.contains("bites"),
        "{message}"
    );
    let message = Manifest::parse("[[model]\n").unwrap_err().to_string();
    assert!(message.contains("line 1"), "{message}");
    let message = Manifest::parse("format = 2\n").unwrap_err().to_string();
    assert!(message.contains("newer"), "{message}");
    let twice = format!("[[model]]\nname = \"net\"\nbytes = 5\nsha256 = \"{SHA}\"\nsources = []\n")
        .repeat(2);
    let message = Manifest::parse(&twice).unwrap_err().to_string();
    assert!(message.contains("`net` is taken"), "{message}");
}
