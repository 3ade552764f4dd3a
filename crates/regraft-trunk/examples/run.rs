//! Times a whole network: `run MODEL.onnx BATCH REPEAT [MiB OF WORKING SET | bf16]`. With `STEPS` in the environment it prints the
//! steps too; with `REPEAT` 0 it runs once for every line that it reads, for somebody who runs something else in between.

use std::time::Instant;

use regraft_onnx::{Graph, ImportOptions, Model};
use regraft_trunk::{Buffers, Plan, Precision};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, batch, repeat, rest @ ..] = &arguments[..] else {
        return Err("usage: run MODEL.onnx BATCH REPEAT [MiB]".into());
    };
    let (batch, repeat): (usize, usize) = (batch.parse()?, repeat.parse()?);
    let graph = Graph::import(&Model::open(path.as_ref())?, &ImportOptions::default())?;
    let plan = match rest {
        [] => Plan::compile(&graph, graph.logits)?,
        [precision] if precision == "bf16" => {
            Plan::in_precision(&graph, graph.logits, Precision::Bf16)?
        }
        [size, ..] => {
            let bytes = (size.parse::<f64>()? * 1024.0 * 1024.0) as usize;
            Plan::with_working_set(&graph, graph.logits, bytes)?
        }
    };
    let input: Vec<f32> = (0..batch * plan.input_len())
        .map(|i| (i * 31 % 255) as f32 / 127.0 - 1.0)
        .collect();
    let mut output = vec![0.0; batch * plan.output_len()];
    let mut buffers = Buffers::new();
    plan.run(&mut buffers, &input, &mut output)?;
    if repeat == 0 {
        for _ in std::io::stdin().lines() {
            let begin = Instant::now();
            plan.run(&mut buffers, &input, &mut output)?;
            println!("{}", begin.elapsed().as_secs_f64());
        }
        return Ok(());
    }
    let mut times = Vec::new();
    for _ in 0..repeat {
        let begin = Instant::now();
        plan.run(&mut buffers, &input, &mut output)?;
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    println!("{median}");
    if std::env::var_os("STEPS").is_some() {
        print_steps(&plan, &mut buffers, &input, &mut output)?;
    }
    Ok(())
}

fn print_steps(
    plan: &Plan,
    buffers: &mut Buffers,
    input: &[f32],
    output: &mut [f32],
) -> Result<(), Box<dyn std::error::Error>> {
    let images = (input.len() / plan.input_len()) as f64;
    let mut best = plan.profile(buffers, input, output)?;
    for _ in 0..4 {
        for (best, step) in best.iter_mut().zip(plan.profile(buffers, input, output)?) {
            best.time = best.time.min(step.time);
        }
    }
    for step in best {
        let seconds = step.time.as_secs_f64();
        let rate = step.flops * images / seconds / 1e9;
        let (name, kind, group) = (step.name, step.kind, step.group);
        println!(
            "{:9.3} ms {rate:7.0} GFLOP/s  x{group:<4} {kind:12} {name}",
            seconds * 1e3
        );
    }
    let images = images as usize;
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!("activations {:.1} MiB", mib(plan.activation_bytes(images)));
    println!("weights {:.1} MiB", mib(plan.weight_bytes()));
    Ok(())
}
