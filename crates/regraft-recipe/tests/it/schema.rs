//! The JSON Schema says of every key what its declaration says.

use regraft_recipe::{KEYS, schema};

#[test]
fn every_key_is_in_the_schema_with_its_range_and_default() {
    let schema = schema();
    for info in KEYS {
        let mut place = &schema;
        for (depth, part) in info.key.split('.').enumerate() {
            place = match depth {
                2 => &place["anyOf"][1]["properties"][part],
                _ => &place["properties"][part],
            };
        }
        let description = place["description"].as_str().unwrap();
        assert!(description.contains(info.about), "{}", info.key);
    }
    let train = &schema["properties"]["train"]["properties"];
    assert_eq!(train["epochs"]["minimum"], 1);
    assert_eq!(train["epochs"]["maximum"], 1_000_000);
    assert_eq!(train["epochs"]["default"], 10);
    assert_eq!(train["ema"]["exclusiveMaximum"], 1.0);
    assert_eq!(train["shuffle"]["type"], "boolean");
    assert_eq!(train["feature_cache"]["enum"][0], "auto");
    assert_eq!(schema["properties"]["train"]["additionalProperties"], false);
}
