//! The list of keys says what the reader does.

use regraft_recipe::{Error, KEYS, KeyInfo, Recipe, read};

/// What the key is read beside: the kind of table that has it.
fn beside(info: &KeyInfo) -> Vec<String> {
    let mut overrides = vec!["model.source=m".to_owned(), "data.source=d".to_owned()];
    overrides.extend(match info.key {
        "train.optimizer.momentum" | "train.optimizer.nesterov" => {
            Some("train.optimizer.name=sgd".to_owned())
        }
        "train.schedule.every" | "train.schedule.factor" => {
            Some("train.schedule.name=step".to_owned())
        }
        "train.schedule.first" | "train.schedule.grow" => {
            Some("train.schedule.name=cosine-restarts".to_owned())
        }
        "model.head.hidden" | "model.head.dropout" => Some("model.head.kind=mlp".to_owned()),
        _ => None,
    });
    overrides
}

fn with(info: &KeyInfo, value: &str) -> Result<Recipe, Error> {
    let mut overrides = beside(info);
    overrides.push(format!("{}={value}", info.key));
    read(None, &overrides)
}

#[test]
fn every_key_can_be_written() {
    for info in KEYS {
        match with(info, "{ }") {
            Ok(_) | Err(Error::Value { .. } | Error::Refused { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn every_key_that_is_written_is_listed() {
    let all = "\
        model = { source = 'm', head = { kind = 'mlp', at = 'a', hidden = 9, dropout = 0.1 } }\n\
        data = { source = 'd', preprocess = { size = 9, resize = 9, crop = 'center', interpolation = 'nearest', \
        channels = 'rgb', scale = 1, mean = [1], std = [1] } }\n\
        train.schedule.warmup_epochs = 1\n\
        train.early_stopping = {}";
    for (optimizer, schedule) in [
        ("sgd", "step"),
        ("adamw", "cosine-restarts"),
        ("lion", "cosine"),
        ("lamb", "constant"),
    ] {
        let overrides = [
            format!("train.optimizer={optimizer}"),
            format!("train.schedule.name={schedule}"),
        ];
        let recipe = read(Some(("recipe.toml", all)), &overrides).unwrap();
        let recipe = recipe.resolve_alone();
        let written: toml_edit::DocumentMut = recipe.to_toml().parse().unwrap();
        let mut tables = vec![(
            String::new(),
            written.as_table() as &dyn toml_edit::TableLike,
        )];
        while let Some((path, table)) = tables.pop() {
            for (key, item) in table.iter() {
                let key = if path.is_empty() {
                    key.to_owned()
                } else {
                    format!("{path}.{key}")
                };
                let is_listed = KEYS.iter().any(|info| info.key == key);
                assert!(is_listed || path.is_empty(), "{key}");
                tables.extend(item.as_table_like().map(|table| (key, table)));
            }
        }
    }
}

#[test]
fn keys_stand_section_by_section_and_once() {
    for (index, info) in KEYS.iter().enumerate() {
        assert!(KEYS[..index].iter().all(|other| other.key != info.key));
        for (depth, _) in info.key.match_indices('.') {
            let table = &info.key[..=depth];
            let mut inside = KEYS.iter().map(|info| info.key.starts_with(table));
            let (first, last) = (
                inside.clone().position(|inside| inside),
                inside.rposition(|inside| inside),
            );
            let between = &KEYS[first.unwrap()..=last.unwrap()];
            assert!(
                between.iter().all(|info| info.key.starts_with(table)),
                "{table}"
            );
        }
        assert!(
            info.about.ends_with('.') && !info.about.contains('\n'),
            "{}",
            info.key
        );
    }
}

#[test]
fn a_default_that_is_toml_changes_nothing_when_it_is_written() {
    let mut tried = 0;
    for info in KEYS {
        if info.default().parse::<toml_edit::Value>().is_ok() {
            let recipe = with(info, &info.default()).unwrap();
            assert_eq!(recipe, Recipe::new("m", "d"), "{}", info.key);
            tried += 1;
        }
    }
    assert!(tried > 20);
}

#[test]
fn a_default_in_words_names_the_value_that_is_meant() {
    let optimizer = |name: &str| {
        let overrides = [
            "model.source=m",
            "data.source=d",
            &format!("train.optimizer={name}"),
        ];
        let recipe = read(None, &overrides.map(str::to_owned)).unwrap();
        let recipe = recipe.resolve_alone();
        recipe.to_toml()
    };
    let default = |key: &str| KEYS.iter().find(|info| info.key == key).unwrap().default();
    let (sgd, adamw) = (optimizer("sgd"), optimizer("adamw"));
    assert!(sgd.contains("lr = 0.01\n") && sgd.contains("weight_decay = 0.0001 "));
    assert!(adamw.contains("lr = 0.001\n") && adamw.contains("weight_decay = 0.01 "));
    assert!(sgd.contains("momentum = 0.9,") && sgd.contains("nesterov = false,"));
    let schedule = |name: &str| {
        let schedule = format!("train.schedule={name}");
        let overrides = ["model.source=m", "data.source=d", &schedule];
        read(None, &overrides.map(str::to_owned)).unwrap().to_toml()
    };
    assert!(schedule("step").contains("{ name = \"step\", every = 3, factor = 0.1 }"));
    assert!(schedule("cosine-restarts").contains("first = 5, grow = 1 }"));
    assert_eq!(default("train.schedule.every"), "3 for step");
    assert_eq!(default("train.schedule.factor"), "0.1 for step");
    assert_eq!(default("train.schedule.first"), "5 for cosine-restarts");
    assert_eq!(default("train.schedule.grow"), "1 for cosine-restarts");
    assert_eq!(
        default("train.lr"),
        "0.01 for sgd, 0.001 for adamw, 0.0001 for lion, 0.005 for lamb"
    );
    let (lion, lamb) = (optimizer("lion"), optimizer("lamb"));
    assert!(lion.contains("lr = 0.0001\n") && lion.contains("weight_decay = 0.1 "));
    assert!(lamb.contains("lr = 0.005\n") && lamb.contains("weight_decay = 0.01 "));
    assert!(lion.contains("betas = [0.9, 0.99]") && lamb.contains("betas = [0.9, 0.999]"));
    assert!(lamb.contains("epsilon = 0.000001,") && adamw.contains("epsilon = 0.00000001,"));
    assert_eq!(
        default("train.optimizer.weight_decay"),
        "0.0001 for sgd, 0.1 for lion, else 0.01"
    );
    assert_eq!(default("train.optimizer.momentum"), "0.9 for sgd");
    assert_eq!(default("train.optimizer.nesterov"), "false for sgd");

    let recipe = read(
        None,
        &[
            "model.source=m",
            "data.source=d",
            "model.head=mlp",
            "train.early_stopping={}",
        ]
        .map(str::to_owned),
    );
    let text = recipe.unwrap().to_toml();
    assert!(text.contains("hidden = 512, dropout = 0.0 }"));
    assert!(text.contains("{ patience = 5, metric = \"accuracy\" }"));
    assert_eq!(default("model.head.hidden"), "512 for mlp");
    assert_eq!(default("model.head.dropout"), "0 for mlp");
    assert_eq!(default("train.early_stopping.patience"), "5 with the table");
    assert_eq!(
        default("train.early_stopping.metric"),
        "\"accuracy\" with the table"
    );
}

#[test]
fn a_value_that_will_not_do_is_answered_with_what_the_key_takes() {
    for info in KEYS.iter().filter(|info| info.key != "freeze.policy") {
        let Err(Error::Value { expected, .. }) =
            with(info, "[[1979-05-27]]").and_then(|_| with(info, "''"))
        else {
            panic!("{} takes anything", info.key);
        };
        assert!(
            expected.starts_with(&info.takes()) || info.takes().starts_with(&*expected),
            "{}: {expected}",
            info.key
        );
    }
}

#[test]
fn every_word_that_a_key_takes_is_read() {
    for info in KEYS {
        let takes = info.takes();
        let (words, tables) = takes.split_once("a table").unwrap_or((&takes, ""));
        for word in words.split('`').skip(1).step_by(2) {
            let is_another_key = KEYS
                .iter()
                .any(|info| info.key.rsplit('.').next() == Some(word));
            if !is_another_key && !word.contains('.') {
                with(info, word).unwrap();
            }
        }
        if info.key == "freeze.policy" {
            let examples = [
                ("last-blocks", "2"),
                ("from", "'layer3'"),
                ("until", "'layer3'"),
                ("rules", "[{ train = '**' }]"),
                ("gradual", "{ every = 2 }"),
                ("probe-then-tune", "{ probe_epochs = 1 }"),
                ("layer-decay", "0.65"),
                ("l2-sp", "0.01"),
            ];
            let named: Vec<&str> = tables.split('`').skip(1).step_by(2).collect();
            assert_eq!(named, examples.map(|(key, _)| key));
            for (key, value) in examples {
                with(info, &format!("{{ {key} = {value} }}")).unwrap();
            }
        }
    }
}

/// Values just inside and just outside the range that the words state.
fn bounds(words: &str) -> Option<(Vec<String>, Vec<String>)> {
    let text = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
    let whole = |word: &str| match word {
        "2^53" => 1 << 53,
        "2^63" => i128::from(i64::MAX),
        digits => digits.parse().unwrap(),
    };
    if let Some((_, range)) = words.split_once("a whole number from ") {
        let range: Vec<&str> = range.split([' ', ',']).collect();
        let (least, most): (i128, i128) = (whole(range[0]), whole(range[2]));
        return Some((
            vec![least.to_string(), most.to_string()],
            vec![
                (least - 1).to_string(),
                (most + 1).to_string(),
                "1.5".to_owned(),
            ],
        ));
    }
    let (inside, outside) = match words {
        "a number from 0 to below 1" => (["0", "0.999999"], ["-1e-9", "1"]),
        "a number above 0 and below 1" => (["1e-30", "0.999999"], ["0", "1"]),
        "a number above 0" => (["1e-30", "1e30"], ["0", "inf"]),
        "a number of at least 0" => (["0", "1e30"], ["-1e-9", "inf"]),
        "a number from 0 to below `train.epochs`" => (["0", "9.99"], ["-1e-9", "10"]),
        "two numbers in brackets, each from 0 to below 1" => {
            (["[0, 0]", "[0.999, 0.999]"], ["[0.5, 1]", "[-1e-9, 0.5]"])
        }
        "a number for each channel in brackets, each a finite number" => {
            (["[-1e30]", "[1, 2, 3]"], ["[inf]", "[]"])
        }
        "a number for each channel in brackets, each a number above 0" => {
            (["[1e-30]", "[1, 2, 3]"], ["[0]", "[]"])
        }
        _ => return None,
    };
    Some((text(&inside), text(&outside)))
}

#[test]
fn every_number_is_taken_up_to_the_bounds_and_not_beyond() {
    let mut tried = 0;
    for info in KEYS {
        let Some((inside, outside)) = bounds(&info.takes()) else {
            assert!(
                !info.takes().contains("number"),
                "{}: {}",
                info.key,
                info.takes()
            );
            continue;
        };
        for value in inside {
            with(info, &value).unwrap();
        }
        for value in outside {
            assert!(
                matches!(with(info, &value), Err(Error::Value { .. })),
                "{} = {value}",
                info.key
            );
        }
        tried += 1;
    }
    assert_eq!(tried, 35);
}
