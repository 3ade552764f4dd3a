//! What a person reads when a recipe is wrong. Every case starts on line 3.

use regraft_recipe::{Error, Recipe, read};

use crate::{parse, set};

fn check(lines: &str, expected: &str) {
    match parse(lines) {
        Ok(_) => panic!("no error in\n{lines}"),
        Err(error) => assert_eq!(error.to_string(), expected, "in\n{lines}"),
    }
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    check(
        "train.lrr = 1",
        "recipe.toml:3:7: unknown key `train.lrr`; did you mean `train.lr`?",
    );
    check(
        "[train]\n\n  lrr = 1",
        "recipe.toml:5:3: unknown key `train.lrr`; did you mean `train.lr`?",
    );
    check(
        "[trian]\nlr = 1",
        "recipe.toml:3:2: unknown key `trian`; did you mean `train`?",
    );
    check(
        "[train]\nbatchsize = 1",
        "recipe.toml:4:1: unknown key `train.batchsize`; did you mean `train.batch_size`?",
    );
    check(
        "train.optimizer = { nam = 'sgd' }",
        "recipe.toml:3:21: unknown key `train.optimizer.nam`; did you mean `train.optimizer.name`?",
    );
    check(
        "data.preprocess = { size = 1, sise = 1 }",
        "recipe.toml:3:31: unknown key `data.preprocess.sise`; did you mean `data.preprocess.size`?",
    );
    check(
        "model.head = { knd = 1 }",
        "recipe.toml:3:16: unknown key `model.head.knd`; did you mean `model.head.kind`?",
    );
}

#[test]
fn a_key_of_another_table_or_another_tool_is_pointed_to_ours() {
    check(
        "lr = 1",
        "recipe.toml:3:1: unknown key `lr`; did you mean `train.lr`?",
    );
    check(
        "train.momentum = 1",
        "recipe.toml:3:7: unknown key `train.momentum`; did you mean `train.optimizer.momentum`?",
    );
    check(
        "train.learning_rate = 1",
        "recipe.toml:3:7: unknown key `train.learning_rate`; did you mean `train.lr`?",
    );
}

#[test]
fn the_names_of_other_tools_lead_to_ours() {
    for (theirs, ours) in [
        ("bs", "train.batch_size"),
        ("batch", "train.batch_size"),
        ("batch-size", "train.batch_size"),
        ("max_epochs", "train.epochs"),
        ("num_epochs", "train.epochs"),
        ("n_epochs", "train.epochs"),
        ("nb_epochs", "train.epochs"),
        ("epochs", "train.epochs"),
        ("imgsz", "data.preprocess.size"),
        ("img_size", "data.preprocess.size"),
        ("input_size", "data.preprocess.size"),
        ("resolution", "data.preprocess.size"),
        ("freeze_layers", "freeze.policy"),
        ("freeze_policy", "freeze.policy"),
        ("class_weight", "train.class_weights"),
        ("mixup_alpha", "train.mixup"),
        ("optim", "train.optimizer"),
        ("LR", "train.lr"),
        ("patience", "train.early_stopping.patience"),
        ("momentum", "train.optimizer.momentum"),
        ("weight_decay", "train.optimizer.weight_decay"),
        ("betas", "train.optimizer.betas"),
        ("num_workers", "device.threads"),
        ("workers", "device.threads"),
        ("sampler", "train.sampling"),
        ("seed", "train.seed"),
        ("step_size", "train.schedule.every"),
        ("gamma", "train.schedule.factor"),
        ("T_0", "train.schedule.first"),
    ] {
        for table in ["", "data.", "device."] {
            let message = parse(&format!("{table}{theirs} = 1"))
                .unwrap_err()
                .to_string();
            let end = format!("unknown key `{table}{theirs}`; did you mean `{ours}`?");
            assert!(message.ends_with(&end), "{message}");
        }
    }
}

#[test]
fn keys_that_promised_what_does_not_work_are_unknown() {
    for key in ["data.mosaic", "train.cutout"] {
        let error = parse(&format!("{key} = 0")).unwrap_err();
        assert!(matches!(error, Error::UnknownKey { .. }), "{error}");
    }
}

#[test]
fn an_unknown_key_unlike_any_other_lists_the_keys_there_are() {
    check(
        "device.zzz = 1",
        "recipe.toml:3:8: unknown key `device.zzz`; known here: `name`, `threads`",
    );
    check(
        "'äöü' = 1",
        "recipe.toml:3:1: unknown key `äöü`; known here: `model`, `data`, `freeze`, `train`, `device`",
    );
    check(
        "device = { 'ä' = 1 }",
        "recipe.toml:3:12: unknown key `device.ä`; known here: `name`, `threads`",
    );
}

#[test]
fn columns_count_characters() {
    check(
        "device = { name = 'ääää', thread = 1 }",
        "recipe.toml:3:27: unknown key `device.thread`; did you mean `device.threads`?",
    );
    check(
        "# ä\r\ntrain.lrr = 1",
        "recipe.toml:4:7: unknown key `train.lrr`; did you mean `train.lr`?",
    );
}

#[test]
fn a_value_of_the_wrong_type_says_what_is_expected() {
    let whole = "expected a whole number from 1 to 1000000";
    check(
        "train.epochs = -1",
        &format!("recipe.toml:3:16: `train.epochs` = -1: {whole}"),
    );
    check(
        "train.epochs = 0",
        &format!("recipe.toml:3:16: `train.epochs` = 0: {whole}"),
    );
    check(
        "train.epochs = 'ten'",
        &format!("recipe.toml:3:16: `train.epochs` = 'ten': {whole}"),
    );
    check(
        "train.epochs = 1.0",
        &format!("recipe.toml:3:16: `train.epochs` = 1.0: {whole}"),
    );
    check(
        "train.epochs = [\n1\n]",
        &format!("recipe.toml:3:16: `train.epochs` = [ 1 ]: {whole}"),
    );
    check(
        "train.epochs = { a = 1 }",
        &format!("recipe.toml:3:16: `train.epochs` = a table: {whole}"),
    );
    check(
        "train.batch_size = 0",
        "recipe.toml:3:20: `train.batch_size` = 0: expected a whole number from 1 to 65536",
    );
    check(
        "train.checkpoint_every = 0",
        &format!("recipe.toml:3:26: `train.checkpoint_every` = 0: {whole}"),
    );
    check(
        "train.shuffle = 1",
        "recipe.toml:3:17: `train.shuffle` = 1: expected `true` or `false`",
    );
    check(
        "train.seed = -1",
        "recipe.toml:3:14: `train.seed` = -1: expected a whole number from 0 to 2^63 - 1",
    );
    check(
        "device.threads = -1",
        "recipe.toml:3:18: `device.threads` = -1: expected a whole number from 0 to 1024",
    );
    check(
        "device.name = ''",
        "recipe.toml:3:15: `device.name` = '': expected a string that is not empty",
    );
    check(
        "train = 1",
        "recipe.toml:3:9: `train` = 1: expected a table",
    );
    check(
        "[[train]]\nlr = 1",
        "recipe.toml:3:1: `train` = an array of tables: expected a table",
    );
    check(
        "data.preprocess.size = 4294967296",
        "recipe.toml:3:24: `data.preprocess.size` = 4294967296: expected a whole number from 1 to 4096, or height and width in brackets",
    );
}

#[test]
fn a_number_out_of_range_says_the_range() {
    let below_one = "expected a number from 0 to below 1";
    for lr in ["0", "-0.1", "nan", "inf", "-inf", "true", "'0.1'"] {
        check(
            &format!("train.lr = {lr}"),
            &format!("recipe.toml:3:12: `train.lr` = {lr}: expected a number above 0"),
        );
    }
    check(
        "data.validation = 1",
        &format!("recipe.toml:3:19: `data.validation` = 1: {below_one}"),
    );
    check(
        "data.validation = -0.1",
        &format!("recipe.toml:3:19: `data.validation` = -0.1: {below_one}"),
    );
    check(
        "model.dropout = 1.0",
        &format!("recipe.toml:3:17: `model.dropout` = 1.0: {below_one}"),
    );
    check(
        "train.label_smoothing = nan",
        &format!("recipe.toml:3:25: `train.label_smoothing` = nan: {below_one}"),
    );
    check(
        "train.optimizer = { name = 'sgd', momentum = 1 }",
        &format!("recipe.toml:3:46: `train.optimizer.momentum` = 1: {below_one}"),
    );
    check(
        "train.grad_clip = inf",
        "recipe.toml:3:19: `train.grad_clip` = inf: expected a number of at least 0",
    );
    check(
        "train.early_stopping = { patience = 0 }",
        "recipe.toml:3:37: `train.early_stopping.patience` = 0: expected a whole number from 1 to 1000000",
    );
    check(
        "train.optimizer = { name = 'adamw', betas = [0.9, 1] }",
        "recipe.toml:3:45: `train.optimizer.betas` = [0.9, 1]: expected two numbers in brackets, each from 0 to below 1",
    );
    check(
        "train = { epochs = 2, schedule = { warmup_epochs = 2 } }",
        "recipe.toml:3:52: `train.schedule.warmup_epochs` = 2: expected a number from 0 to below `train.epochs`, 2",
    );
}

#[test]
fn class_weights_are_words_or_numbers_above_zero_by_name() {
    let expected = "expected \"none\", \"balanced\", or a table of classes with weights above 0, such as `{ rare = 4.0 }`";
    for wrong in ["'equal'", "2", "[1, 2]"] {
        check(
            &format!("train.class_weights = {wrong}"),
            &format!("recipe.toml:3:23: `train.class_weights` = {wrong}: {expected}"),
        );
    }
    check(
        "train.class_weights = {}",
        &format!("recipe.toml:3:23: `train.class_weights` = a table: {expected}"),
    );
    check(
        "train.class_weights = { cat = 0 }",
        "recipe.toml:3:31: `train.class_weights.cat` = 0: expected a number above 0",
    );
}

#[test]
fn a_wrong_word_lists_the_right_ones() {
    check(
        "data.augment = 'much'",
        "recipe.toml:3:16: `data.augment` = 'much': expected `none`, `light` or `standard`",
    );
    check(
        "data.augment = { flip = 0.5 }",
        "recipe.toml:3:16: `data.augment` = a table: expected `none`, `light` or `standard`",
    );
    check(
        "freeze.batch_norm = 1",
        "recipe.toml:3:21: `freeze.batch_norm` = 1: expected `auto`, `frozen`, `updated` or `affine-only`",
    );
    check(
        "data.classes = 'cat'",
        "recipe.toml:3:16: `data.classes` = 'cat': expected \"all\" or the names of at least two classes in brackets",
    );
    check(
        "data.classes = ['cat', 7]",
        "recipe.toml:3:16: `data.classes` = ['cat', 7]: expected \"all\" or the names of at least two classes in brackets",
    );
    check(
        "data.per_class = 'few'",
        "recipe.toml:3:18: `data.per_class` = 'few': expected \"all\" or a whole number from 1 to 2^53",
    );
    check(
        "data.per_class = 0",
        "recipe.toml:3:18: `data.per_class` = 0: expected \"all\" or a whole number from 1 to 2^53",
    );
    check(
        "data.on_bad_image = 0",
        "recipe.toml:3:21: `data.on_bad_image` = 0: expected `error` or `skip`",
    );
    check(
        "train.feature_cache = 'ram'",
        "recipe.toml:3:23: `train.feature_cache` = 'ram': expected `auto`, `off`, `memory` or `disk`",
    );
    check(
        "model.head = 'none'",
        "recipe.toml:3:14: `model.head` = 'none': expected `auto`, `solved`, `linear`, `mlp` or `keep`, or a table with `kind`",
    );
    check(
        "train.early_stopping = 5",
        "recipe.toml:3:24: `train.early_stopping` = 5: expected \"none\" or a table such as `{ patience = 5 }`",
    );
    check(
        "data.preprocess = 'model'",
        "recipe.toml:3:19: `data.preprocess` = 'model': expected \"auto\" or a table",
    );
}

#[test]
fn a_wrong_word_names_the_right_one_that_looks_like_it() {
    let check_near = |lines: &str, near: &str| {
        let message = parse(lines).unwrap_err().to_string();
        let end = format!("; did you mean \"{near}\"?");
        assert!(message.ends_with(&end), "{lines} gave {message}");
    };
    check_near("train.optimizer = 'adam'", "adamw");
    check_near("train.optimizer = 'AdamW'", "adamw");
    check_near("train.optimizer = { name = 'adam' }", "adamw");
    check_near("train.schedule = 'onecycle'", "one-cycle");
    check_near("train.schedule = { name = 'one_cycle' }", "one-cycle");
    check_near("data.preprocess = { crop = 'centre' }", "center");
    check_near("data.preprocess = { channels = 'gray' }", "grey");
    check_near("freeze.batch_norm = 'affine'", "affine-only");
    check(
        "train.optimizer = 'adam'",
        "recipe.toml:3:19: `train.optimizer` = 'adam': expected `sgd`, `adamw`, `lion` or `lamb`, or a table with `name`; did you mean \"adamw\"?",
    );
}

#[test]
fn preprocessing_that_contradicts_itself_is_an_error() {
    check(
        "data.preprocess = { size = 224, resize = 200 }",
        "recipe.toml:3:42: `data.preprocess.resize` = 200: expected a whole number from 224 to 16384",
    );
    check(
        "data.preprocess = { mean = [0.5], std = [1, 1, 1] }",
        "recipe.toml:3:41: `data.preprocess.std` = [1, 1, 1]: expected as many numbers as `mean` has, 1",
    );
    check(
        "data.preprocess.std = [1, 0, 1]",
        "recipe.toml:3:23: `data.preprocess.std` = [1, 0, 1]: expected a number for each channel in brackets, each a number above 0",
    );
    check(
        "data.preprocess.mean = []",
        "recipe.toml:3:24: `data.preprocess.mean` = []: expected a number for each channel in brackets, each a finite number",
    );
    check(
        "data.preprocess.scale = 1e-99",
        "recipe.toml:3:25: `data.preprocess.scale` = 1e-99: expected a number above 0",
    );
}

#[test]
fn a_key_of_another_kind_is_an_error() {
    check(
        "train.optimizer = { name = 'adamw', momentum = 0.9 }",
        "recipe.toml:3:37: `train.optimizer.momentum` does not apply to `adamw`, which takes `betas`, `epsilon`, `weight_decay`",
    );
    check(
        "model.head = { hidden = 9 }",
        "recipe.toml:3:16: `model.head.hidden` does not apply to `auto`, which takes `at`, `taps`",
    );
    check(
        "model.head = { kind = 'keep', at = 'x' }",
        "recipe.toml:3:31: `model.head.at` does not apply to `keep`, which takes no other keys",
    );
}

#[test]
fn lion_has_no_denominator() {
    check(
        "train.optimizer = { name = 'lion', epsilon = 1e-8 }",
        "recipe.toml:3:36: `train.optimizer.epsilon` does not apply to `lion`, which takes `betas`, `weight_decay`",
    );
}

#[test]
fn a_key_of_another_schedule_is_an_error() {
    check(
        "train.schedule = { name = 'cosine', factor = 0.5 }",
        "recipe.toml:3:37: `train.schedule.factor` does not apply to `cosine`, which takes `warmup_epochs`",
    );
    check(
        "train.schedule = { name = 'step', first = 2 }",
        "recipe.toml:3:35: `train.schedule.first` does not apply to `step`, which takes `every`, `factor`, `warmup_epochs`",
    );
    check(
        "train.schedule = { name = 'step', factor = 1 }",
        "recipe.toml:3:44: `train.schedule.factor` = 1: expected a number above 0 and below 1",
    );
}

#[test]
fn a_kept_head_has_no_dropout_before_it() {
    check(
        "model.head = 'keep'\nmodel.dropout = 0.5",
        "recipe.toml:4:17: `model.dropout` = 0.5: expected 0, as the model keeps its own head",
    );
}

#[test]
fn a_value_that_another_crate_reads_is_refused_where_it_stands() {
    let check = |lines: &str, start: &str| {
        let message = parse(lines).unwrap_err().to_string();
        assert!(
            message.starts_with(start) && !message.contains('\n'),
            "{lines:?} gave {message}"
        );
    };
    check(
        "freeze.policy = 'fulll'",
        "recipe.toml:3:17: `freeze.policy`: ",
    );
    check(
        "[[freeze.policy]]\nx = 1",
        "recipe.toml:3:1: `freeze.policy`: ",
    );
}

#[test]
fn a_missing_source_says_how_to_give_it() {
    let check = |text: &str, expected: &str| {
        assert_eq!(
            Recipe::parse(text, "recipe.toml").unwrap_err().to_string(),
            expected
        );
    };
    check(
        "",
        "recipe.toml: `model.source` is missing; write `source = \"squeezenet1.1\"` under `[model]`, or pass `--model`",
    );
    check(
        "model.source = 'm'\n[data]",
        "recipe.toml: `data.source` is missing; write `source = \"data/flowers\"` under `[data]`, or pass `--data`",
    );
    assert_eq!(
        read(None, &[]).unwrap_err().to_string(),
        "`model.source` is missing; pass `--model`, or write `source = \"squeezenet1.1\"` under `[model]` in a recipe"
    );
    check(
        "model.source = ''",
        "recipe.toml:1:16: `model.source` = '': expected a string that is not empty",
    );
}

#[test]
fn what_is_not_toml_keeps_the_parsers_place() {
    for (lines, start) in [
        ("train.lr = ", "recipe.toml:3:12: "),
        ("train.lr = 1e999", "recipe.toml:3:12: "),
        ("[train", "recipe.toml:3:7: "),
        ("[train]\nlr = 1\nlr = 2", "recipe.toml:5:1: duplicate key"),
        ("[data]", "recipe.toml:3:2: duplicate key"),
        ("x = 'ä", "recipe.toml:3:"),
    ] {
        let message = parse(lines).unwrap_err().to_string();
        assert!(
            message.starts_with(start) && !message.contains('\n'),
            "{lines:?} gave {message}"
        );
    }
}

#[test]
fn no_message_grows_with_what_is_wrong() {
    let long = "x".repeat(11_000);
    let deep = "x.".repeat(7) + &long;
    let errors = [
        set("", &[&long]),
        set("", &[&format!("{long}=1")]),
        set("", &[&format!("train.{long}=1")]),
        set("", &[&format!("train.lr={long}")]),
        set("", &[&format!("train.lr='{long}")]),
        set("", &[&format!("{deep}.x.x=1")]),
        set("", &[&format!("train.lr.{long}=1")]),
        set("", &[&format!("data.classes=['{long}']")]),
        set("", &[&format!("train.optimizer={long}")]),
        set("", &[&format!("train.schedule={{ {long} = 1 }}")]),
        set("", &[&format!("freeze.policy={long}")]),
        set("", &[&format!("freeze.policy={{ {long} = 1 }}")]),
        set(
            "",
            &[&format!("freeze.policy={{ from = 1, until = '{long}' }}")],
        ),
        parse(&format!("{long} = 1")),
        parse(&format!("[train.{long}]")),
        parse(&format!("train.epochs = '{long}'")),
        parse(&format!("device.name = 1.{}", "1".repeat(11_000))),
        parse(&format!("freeze.policy = '{long}'")),
        parse(&format!("freeze.policy.{long} = 1")),
        parse(&format!("x = {long}")),
        parse(&format!("x.{long} = 1\nx.{long} = 1")),
        Recipe::parse("", &long),
        Recipe::parse("x", &long),
        Recipe::load(long.as_ref()),
    ];
    for error in errors {
        let message = error.unwrap_err().to_string();
        assert!(message.chars().count() < 600, "{message}");
        assert!(!message.contains(&"x".repeat(201)), "{message}");
    }
}

#[test]
fn a_long_name_keeps_its_start_and_a_long_path_its_end() {
    let key = "x".repeat(81);
    check(
        &format!("device.{key} = 1"),
        &format!(
            "recipe.toml:3:8: unknown key `device.{}…`; known here: `name`, `threads`",
            "x".repeat(73)
        ),
    );
    let message = Recipe::parse("x", &format!("{}/recipe.toml", "x".repeat(300)))
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with(&format!("…{}/recipe.toml:1:", "x".repeat(188))),
        "{message}"
    );
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    for error in [
        parse("'a' = 1\n\"\\u001b[31m\\n\" = 1"),
        set("", &["train.lr=\u{1b}[31m\n"]),
        parse("freeze.policy = \"\\u001b[31m\""),
    ] {
        let message = error.unwrap_err().to_string();
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Recipe::load("no/such/recipe.toml".as_ref()).unwrap_err();
    assert!(matches!(error, Error::Read { .. }));
    assert_eq!(error.to_string(), "reading recipe `no/such/recipe.toml`");
}
