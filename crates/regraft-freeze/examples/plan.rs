//! Prints the plan for a made-up network of four blocks.

use regraft_freeze::*;

fn main() -> Result<(), Error> {
    let names = ["conv1", "layer1.0", "layer2.0", "fc"];
    let outline = Outline {
        blocks: names
            .iter()
            .map(|name| BlockOutline {
                name: (*name).to_owned(),
                head: *name == "fc",
                macs: 50_000_000,
                activations: 200_000,
                largest: 50_000,
                output_values: 50_000,
            })
            .collect(),
        parameters: names
            .iter()
            .enumerate()
            .map(|(block, name)| ParameterOutline {
                name: format!("{name}.weight"),
                kind: ParameterKind::Weight,
                shape: vec![64, 64, 3, 3],
                block,
                fresh: *name == "fc",
            })
            .collect(),
        norms: vec![],
        untrained: false,
    };
    let facts = DataFacts {
        train_images: 800,
        classes: 10,
        batch_size: 32,
    };
    let config = FreezeConfig {
        policy: Policy::LastBlocks(1),
        layer_decay: Some(0.65),
        ..FreezeConfig::default()
    };
    let footprint = Footprint {
        model_bytes: 600_000,
        image_values: 3 * 224 * 224,
        optimizer_values: 2,
    };
    let plan = resolve(&outline, &facts, &config)?;
    println!("{}", table(&outline, &plan, &facts, &footprint));
    Ok(())
}
