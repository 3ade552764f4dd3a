//! What is refused for now, and says so.

use regraft_recipe::check_available;

use crate::parse;

fn check(line: &str, expected: &str) {
    let recipe = parse(line).unwrap();
    assert_eq!(
        check_available(&recipe).unwrap_err().to_string(),
        expected,
        "{line}"
    );
}

#[test]
fn later_values_are_refused_by_name() {
    check(
        "train.mixup = 0.2",
        "`train.mixup` = 0.2: mixup is not available yet; set it to 0",
    );
    check(
        "train.ema = 0.999",
        "`train.ema` = 0.999: weight averaging is not available yet; set it to 0",
    );
    check(
        "train.class_weights = 'balanced'",
        "`train.class_weights` = \"balanced\": class weighting is not available yet; set it to \"none\"",
    );
    check(
        "data.sampler = 'balanced'",
        "`data.sampler` = \"balanced\": balanced sampling is not available yet; set it to \"uniform\"",
    );
    check(
        "train.schedule = { name = 'step', warmup_epochs = 1 }",
        "`train.schedule` = \"step\": the step schedule is not available yet; set it to \"cosine\"",
    );
    check(
        "train.feature_cache = 'disk'",
        "`train.feature_cache` = \"disk\": the feature cache on disk is not available yet; set it to \"auto\" or \"memory\"",
    );
    check(
        "data.augment = 'strong'",
        "`data.augment` = \"strong\": strong or custom augmentation is not available yet; set it to \"standard\"",
    );
}
