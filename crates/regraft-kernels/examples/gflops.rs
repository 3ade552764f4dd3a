//! GFLOP/s of each pass over the layers of ResNet and VGG: medians, counted as direct convolution would.
//! Arguments: parts of layer names, to run only those.

use std::time::Instant;

use regraft_kernels::{Conv2d, Conv2dSpec, Epilogue};

fn main() -> Result<(), regraft_kernels::Error> {
    let only: Vec<String> = std::env::args().skip(1).collect();
    println!(
        "{:<26}{:>9}{:>9}{:>9}",
        "layer", "forward", "input", "weight"
    );
    for (name, spec) in layers() {
        if !only.is_empty() && !only.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let conv = Conv2d::new(spec)?;
        let shape = conv.shape();
        let values = |len: usize| {
            (0..len)
                .map(|i| (i * 7 % 13) as f32 / 13.0 - 0.5)
                .collect::<Vec<f32>>()
        };
        let (mut input, weight) = (values(shape.input_len()), values(shape.weight_len()));
        let (mut weight_gradient, mut output) = (weight.clone(), values(shape.output_len()));
        let epilogue = Epilogue::default();
        let forward = rate(shape.flops(), || {
            conv.forward(&input, &weight, &epilogue, &mut output)
        });
        let by_weight = rate(shape.flops(), || {
            conv.backward_weight(&input, &output, &mut weight_gradient)
        });
        let by_input = rate(shape.flops(), || {
            conv.backward_input(&output, &weight, &mut input)
        });
        println!("{name:<26}{forward}{by_input}{by_weight}");
    }
    Ok(())
}

/// GFLOP/s of a job of so many operations: the median by the clock and the rate by processor time, which other
/// processes on the machine disturb less (of one core; 0 where the system doesn't tell).
fn rate(flops: f64, mut job: impl FnMut()) -> String {
    job();
    let begin = Instant::now();
    let busy = busy_nanoseconds();
    let mut times = Vec::new();
    while times.len() < 5 || (begin.elapsed().as_millis() < 300 && times.len() < 100) {
        let begin = Instant::now();
        job();
        times.push(begin.elapsed().as_secs_f64());
    }
    let busy = busy_nanoseconds() - busy;
    times.sort_by(f64::total_cmp);
    let by_clock = flops / times[times.len() / 2] / 1e9;
    let by_core = if busy > 0.0 {
        flops * times.len() as f64 / busy
    } else {
        0.0
    };
    format!("{by_clock:>9.0}{by_core:>6.0}")
}

/// Time that the threads of this process have run.
fn busy_nanoseconds() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return 0.0;
    };
    let of = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    tasks.filter_map(of).sum()
}

/// Names are kernel, channels, image and what else is special.
fn layers() -> Vec<(&'static str, Conv2dSpec)> {
    let spec =
        |batch, channels, size, kernel| Conv2dSpec::square(batch, channels, [size; 2], kernel);
    vec![
        ("7x7 3-64 224 s2", spec(8, [3, 64], 224, 7).stride(2)),
        ("3x3 3-32 299 s2", spec(8, [3, 32], 299, 3).stride(2)),
        ("3x3 3-64 224", spec(4, [3, 64], 224, 3)),
        ("3x3 64-64 224", spec(2, [64, 64], 224, 3)),
        ("3x3 128-128 112", spec(2, [128, 128], 112, 3)),
        ("3x3 64-64 56", spec(8, [64, 64], 56, 3)),
        ("3x3 128-128 28", spec(8, [128, 128], 28, 3)),
        ("3x3 256-256 14", spec(8, [256, 256], 14, 3)),
        ("3x3 512-512 7", spec(8, [512, 512], 7, 3)),
        ("3x3 128-256 28 s2", spec(8, [128, 256], 28, 3).stride(2)),
        ("1x1 64-256 56", spec(8, [64, 256], 56, 1)),
        ("1x1 256-64 56", spec(8, [256, 64], 56, 1)),
        ("1x1 512-128 28", spec(8, [512, 128], 28, 1)),
        ("1x1 1024-256 14", spec(8, [1024, 256], 14, 1)),
        ("1x1 256-1024 14", spec(8, [256, 1024], 14, 1)),
        ("1x1 512-2048 7", spec(8, [512, 2048], 7, 1)),
        ("1x1 256-512 56 s2", spec(8, [256, 512], 56, 1).stride(2)),
        ("3x3 128-128 56 g32", spec(8, [128, 128], 56, 3).groups(32)),
        ("3x3 dw 144 56", spec(8, [144, 144], 56, 3).groups(144)),
        (
            "3x3 dw 144 56 s2",
            spec(8, [144, 144], 56, 3).groups(144).stride(2),
        ),
        ("5x5 dw 480 14", spec(8, [480, 480], 14, 5).groups(480)),
    ]
}
