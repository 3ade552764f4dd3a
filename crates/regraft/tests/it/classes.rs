//! Classes with more and fewer images, and what is done about it.

use regraft::onnx::{Graph, ImportOptions, Model};
use regraft::{Error, Recipe, prepare};

use crate::{images, recipe, run, squeezenet};

/// The values of a run's classifier.
fn classifier(recipe: &Recipe, folder: &std::path::Path) -> Vec<f32> {
    run(recipe, folder);
    let model = Model::open(&folder.join("last.onnx")).unwrap();
    let graph = Graph::import(&model, &ImportOptions::default()).unwrap();
    graph.parameters.last().unwrap().data.to_vec()
}

#[test]
fn class_weights_change_what_is_trained_and_what_is_solved() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    for class in ["flag", "meal"] {
        let some = std::fs::read_dir(data.join(class)).unwrap().take(2);
        some.for_each(|file| std::fs::remove_file(file.unwrap().path()).unwrap());
    }
    for head in ["linear", "solved"] {
        let values = |weights: &str| {
            let overrides = [
                format!("model.head={head}"),
                format!("train.class_weights={weights}"),
            ];
            let overrides = overrides.each_ref().map(String::as_str);
            let out = tempfile::tempdir().unwrap();
            classifier(&recipe(&squeezenet(), &data, &overrides), out.path())
        };
        let (plain, balanced) = (values("none"), values("balanced"));
        assert_ne!(plain, balanced, "{head}");
        // 16 images of five classes.
        let by_hand = "{ animal = 0.8, flag = 1.6, meal = 1.6, person = 0.8, vehicle = 0.8 }";
        assert_eq!(values(by_hand), balanced, "{head}");
    }
}

#[test]
fn a_weight_of_a_class_that_there_is_not_names_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let refused = |name: &str| {
        let weights = format!("train.class_weights={{ {name} = 2 }}");
        let error = prepare(&recipe(&squeezenet(), &data, &[&weights])).unwrap_err();
        assert!(matches!(error, Error::Setting { .. }) && error.is_usage());
        error.to_string()
    };
    assert_eq!(
        refused("persn"),
        "`train.class_weights`: the images have no class `persn`; did you mean `person`?"
    );
    let unlike = refused("zzz");
    assert!(unlike.contains("there are animal, flag"), "{unlike}");
}
