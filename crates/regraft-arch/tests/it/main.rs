//! Every architecture from outside: counts, bytes, initial values, import, and refusals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use regraft_arch::{Architecture, Classes, Error, Spec, Stem, build, parameter_count};
use regraft_data::Preprocess;
use regraft_onnx::{Graph, ImportOptions, Model, Op, Role, metadata};

fn spec(name: &str) -> Spec {
    Spec::new(name.parse().unwrap(), Classes::Count(1000))
}

/// Small enough to be quick.
fn slim(name: &str, size: usize) -> Spec {
    Spec {
        size,
        width: 0.25,
        classes: Classes::Count(7),
        ..spec(name)
    }
}

fn import(model: &Model) -> Graph {
    Graph::import(model, &ImportOptions::default()).unwrap()
}

fn refusal(spec: &Spec) -> String {
    build(spec).unwrap_err().to_string()
}

#[test]
fn parameter_counts_are_torchvisions() {
    // Measured by tools/check_architectures.py: without auxiliary classifiers; pre-activation networks in PyTorch.
    for (name, count) in [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("preact_resnet18", 11_687_720),
        ("preact_resnet34", 21_795_880),
        ("preact_resnet50", 25_549_352),
        ("vgg11", 132_863_336),
        ("vgg13", 133_047_848),
        ("vgg16", 138_357_544),
        ("vgg19", 143_667_240),
        ("vgg11_bn", 132_868_840),
        ("vgg13_bn", 133_053_736),
        ("vgg16_bn", 138_365_992),
        ("vgg19_bn", 143_678_248),
        ("googlenet", 6_624_904),
        ("inception_v3", 23_834_568),
        ("mobilenet_v2", 3_504_872),
    ] {
        assert_eq!(parameter_count(&spec(name)).unwrap(), count, "{name}");
    }
    assert_eq!(Architecture::all().count(), 17);
}

#[test]
fn the_same_spec_gives_the_same_bytes_and_another_seed_others() {
    let bytes = |seed| {
        let spec = Spec {
            seed,
            ..slim("resnet18", 32)
        };
        build(&spec).unwrap().to_bytes().unwrap()
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn weights_are_the_same_on_every_machine() {
    let model = build(&slim("resnet18", 32)).unwrap();
    let first = &model.weights("conv1.weight").unwrap()[..3];
    // Worked out apart, from ChaCha8's definition and the polar method in Python.
    let expected = [0xbd55_f8ae, 0x3d94_4347, 0xbde4_cbed];
    assert_eq!(
        first.iter().map(|w| w.to_bits()).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn a_layer_keeps_its_weights_where_another_one_changes() {
    let weights = |classes, name: &str| {
        let spec = Spec {
            classes: Classes::Count(classes),
            ..slim("resnet18", 32)
        };
        build(&spec).unwrap().weights(name).unwrap()
    };
    assert_eq!(weights(3, "conv1.weight"), weights(5, "conv1.weight"));
}

#[test]
fn every_architecture_imports_at_every_size() {
    for architecture in Architecture::all() {
        for size in [32, 64, architecture.default_size()] {
            let spec = slim(architecture.name(), size);
            let model = build(&spec).unwrap();
            let graph = import(&model);
            assert_eq!(graph.image_shape(), [3, size, size], "{architecture}");
            assert_eq!(graph.classes(), 7, "{architecture}");
            assert_eq!(
                graph.trainable_values() as u64,
                parameter_count(&spec).unwrap(),
                "{architecture}"
            );
            let head = graph.head.as_ref().unwrap();
            let by_hidden_layers = architecture.name().starts_with("vgg");
            let head_layers = graph.nodes[head.first_node..]
                .iter()
                .filter(|node| matches!(node.op, Op::Linear(_)))
                .count();
            assert_eq!(head_layers, if by_hidden_layers { 3 } else { 1 });
            assert!(graph.blocks.len() > 5, "{architecture}");
            // The names of the file are the names of the graph.
            for parameter in graph.parameters.iter().filter(|p| p.role.trainable()) {
                assert_eq!(parameter.initializer.as_ref(), Some(&parameter.name));
            }
        }
    }
}

#[test]
fn blocks_have_the_names_that_people_use() {
    let graph = |name| import(&build(&slim(name, 64)).unwrap());
    for (name, block) in [
        ("resnet18", "layer3.1"),
        ("preact_resnet50", "layer3.5"),
        ("vgg16_bn", "features.40"),
        ("googlenet", "inception4c"),
        ("inception_v3", "Mixed_6e"),
        ("mobilenet_v2", "features.17"),
    ] {
        let blocks = graph(name).blocks;
        let names: Vec<&str> = blocks.iter().map(|block| block.name.as_str()).collect();
        assert!(names.contains(&block), "{name}: {names:?}");
    }
}

#[test]
fn large_layers_start_with_kaimings_deviation() {
    for name in ["resnet50", "vgg11_bn", "inception_v3", "mobilenet_v2"] {
        let forward = name == "inception_v3";
        let model = build(&Spec {
            width: 0.5,
            ..slim(name, 64)
        })
        .unwrap();
        let graph = import(&model);
        let mut checked = 0;
        for parameter in &graph.parameters {
            let [outputs, inputs, height, width] = parameter.shape[..] else {
                continue;
            };
            // One input channel a group and many outputs: depthwise.
            let fan = match (forward, inputs) {
                (true, _) => inputs * height * width,
                (false, 1) => height * width,
                (false, _) => outputs * height * width,
            };
            let values = parameter.data.to_vec();
            if values.len() < 2000 {
                continue;
            }
            let square: f64 = values.iter().map(|&w| f64::from(w).powi(2)).sum();
            let found = (square / values.len() as f64).sqrt();
            let expected = (2.0 / fan as f64).sqrt();
            assert!(
                (found / expected - 1.0).abs() < 0.1,
                "{}: {found}, expected {expected}",
                parameter.name
            );
            checked += 1;
        }
        assert!(checked > 5, "{name}: {checked}");
    }
}

#[test]
fn batch_norm_starts_as_the_identity_and_residual_branches_at_zero() {
    for (name, last) in [
        ("resnet18", "bn2"),
        ("resnet50", "bn3"),
        ("preact_resnet18", "none"),
    ] {
        let graph = import(&build(&slim(name, 32)).unwrap());
        for parameter in &graph.parameters {
            let expected = match parameter.role {
                Role::NormScale if parameter.name.contains(last) => 0.0,
                Role::NormScale | Role::RunningVariance => 1.0,
                Role::NormShift | Role::RunningMean => 0.0,
                _ => continue,
            };
            let values = parameter.data.to_vec();
            assert!(values.iter().all(|&v| v == expected), "{}", parameter.name);
        }
    }
}

#[test]
fn small_images_get_the_small_stem_unless_told_otherwise() {
    let feature_side = |size, stem| {
        let spec = Spec {
            stem,
            ..slim("resnet18", size)
        };
        let graph = import(&build(&spec).unwrap());
        let last = graph
            .nodes
            .iter()
            .rposition(|n| matches!(n.op, Op::Conv(_)));
        graph.value(graph.nodes[last.unwrap()].output).dims(1)[2]
    };
    assert_eq!(feature_side(32, Stem::Auto), 4);
    assert_eq!(feature_side(32, Stem::ImageNet), 1);
    assert_eq!(feature_side(64, Stem::Auto), 8);
    assert_eq!(feature_side(65, Stem::Auto), 3);
    assert_eq!(feature_side(96, Stem::Cifar), 12);
}

#[test]
fn a_width_of_any_kind_gives_multiples_of_eight() {
    for width in [0.01, 0.3, 0.75, 1.0, 1.3] {
        let spec = Spec {
            width,
            ..slim("mobilenet_v2", 32)
        };
        let graph = import(&build(&spec).unwrap());
        for parameter in graph.parameters.iter().filter(|p| p.shape.len() == 4) {
            assert_eq!(parameter.shape[0] % 8, 0, "{width}: {}", parameter.name);
        }
    }
}

#[test]
fn the_model_says_how_its_images_are_prepared_and_what_it_tells_apart() {
    let labels = vec!["a".to_owned(), "b".to_owned()];
    let spec = Spec {
        classes: Classes::Named(labels.clone()),
        ..slim("inception_v3", 299)
    };
    let model = build(&spec).unwrap();
    let model = Model::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(metadata::labels(&model).unwrap(), labels);
    let table = metadata::preprocessing(&model).unwrap().unwrap();
    let preprocess: Preprocess = serde_json::from_value(table).unwrap();
    preprocess.validate().unwrap();
    let expected = Preprocess {
        size: regraft_spec::ImageSize::square(299),
        resize: 342,
        ..Preprocess::default()
    };
    assert_eq!(preprocess, expected);
    assert!(model.producer().starts_with("regraft "));
    assert_eq!(model.opset(), 17);
}

#[test]
fn nonsense_is_refused_with_what_would_work() {
    let with = |change: fn(&mut Spec)| {
        let mut spec = slim("resnet18", 32);
        change(&mut spec);
        refusal(&spec)
    };
    let name = "resnet-18".parse::<Architecture>().unwrap_err().to_string();
    assert!(name.contains("did you mean `resnet18`"), "{name}");
    assert!(name.contains("mobilenet_v2"), "{name}");
    assert!("big".parse::<Stem>().is_err());
    assert_eq!(
        with(|spec| spec.classes = Classes::Count(0)),
        "0 classes, expected at least 2"
    );
    let twice = with(|spec| spec.classes = Classes::Named(vec!["a".into(), "a".into()]));
    assert!(twice.contains("`a` is given twice"), "{twice}");
    for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let mut spec = slim("resnet18", 32);
        spec.width = width;
        assert!(matches!(build(&spec), Err(Error::Width { .. })), "{width}");
    }
    assert!(with(|spec| spec.size = 0).contains("expected 1 to 4096"));
    assert!(with(|spec| spec.classes = Classes::Count(usize::MAX)).contains("2 GiB"));
}

#[test]
fn an_image_that_is_too_small_is_told_the_smallest_that_fits() {
    let vgg = refusal(&slim("vgg11", 31));
    assert!(
        vgg.ends_with("`features.20` has 1 x 1 pixels left; use at least 32 x 32"),
        "{vgg}"
    );
    assert!(build(&slim("vgg11", 32)).is_ok());
    let inception = Spec {
        stem: Stem::ImageNet,
        ..slim("inception_v3", 74)
    };
    let message = refusal(&inception);
    assert!(
        message.ends_with("use at least 75 x 75, or the `cifar` stem"),
        "{message}"
    );
    assert!(
        build(&Spec {
            size: 75,
            ..inception
        })
        .is_ok()
    );
}
