//! GFLOP/s of each pass over the layers of ResNet and VGG, counted as direct convolution would, and their share of what
//! the machine's FMA units give (Winograd, which multiplies less, may exceed it). `benches/conv.rs` has statistics on fewer layers; this is the quick overview, and its
//! rates by processor time mean something on a machine that does other work too.
//! Arguments: parts of layer names, to run only those; `every-way` to run each algorithm that computes a layer instead
//! of the one that `choose` takes.

use std::time::Instant;

use regraft_kernels::{Algorithm, Conv2d, Conv2dSpec, Epilogue};

fn main() -> Result<(), regraft_kernels::Error> {
    let (ways, only): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument == "every-way");
    let threads = rayon::current_num_threads();
    let peak = measure(peak::flops() * threads as f64, || {
        rayon::broadcast(|_| peak::run());
    });
    println!(
        "{threads} threads; FMA peak {:.0} GFLOP/s by the clock, {:.0} a core by processor time",
        peak.by_clock, peak.by_core
    );
    println!(
        "each pass: GFLOP/s by the clock, a core by processor time, the latter's share of the peak"
    );
    println!(
        "{:<26}{:>20}{:>20}{:>20}",
        "layer", "forward", "input", "weight"
    );
    let begin = Instant::now();
    let start = scheduled();
    for (name, spec) in layers() {
        if !only.is_empty() && !only.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let conv = Conv2d::new(spec)?;
        if ways.is_empty() {
            print!("{name:<26}");
            layer(&conv, peak.by_core);
            continue;
        }
        for algorithm in ALGORITHMS {
            if algorithm.fits(conv.shape()) {
                print!("{name:<26}{:<12}", format!("{algorithm:?}"));
                layer(&conv.clone().with_algorithm(algorithm), peak.by_core);
            }
        }
    }
    let end = scheduled();
    let available = begin.elapsed().as_secs_f64() * threads as f64;
    println!(
        "the threads ran for {:.0}% of the time and waited for a processor {:.0}%",
        100.0 * (end.ran - start.ran) / available,
        100.0 * (end.waited - start.waited) / available
    );
    Ok(())
}

const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Product,
    Algorithm::Depthwise,
    Algorithm::Winograd2,
    Algorithm::Winograd4,
];

/// Prints the rates of a layer's passes.
fn layer(conv: &Conv2d, peak: f64) {
    let shape = conv.shape();
    let values = |len: usize| {
        (0..len)
            .map(|i| (i * 7 % 13) as f32 / 13.0 - 0.5)
            .collect::<Vec<f32>>()
    };
    let (mut input, weight) = (values(shape.input_len()), values(shape.weight_len()));
    let (mut weight_gradient, mut output) = (weight.clone(), values(shape.output_len()));
    let epilogue = Epilogue::default();
    let forward = measure(shape.flops(), || {
        conv.forward(&input, &weight, &epilogue, &mut output)
    });
    let by_weight = measure(shape.flops(), || {
        conv.backward_weight(&input, &output, &mut weight_gradient)
    });
    let by_input = measure(shape.flops(), || {
        conv.backward_input(&output, &weight, &mut input)
    });
    for rate in [forward, by_input, by_weight] {
        let share = 100.0 * rate.by_core / peak;
        print!("{:>10.0}{:>5.0}{share:>4.0}%", rate.by_clock, rate.by_core);
    }
    println!();
}

struct Rate {
    /// GFLOP/s: the median by the clock.
    by_clock: f64,
    /// GFLOP/s of a core by processor time, which other processes disturb less; 0 where the system doesn't tell.
    by_core: f64,
}

fn measure(flops: f64, mut job: impl FnMut()) -> Rate {
    job();
    let begin = Instant::now();
    let start = scheduled();
    let mut times = Vec::new();
    while times.len() < 5 || (begin.elapsed().as_millis() < 300 && times.len() < 100) {
        let begin = Instant::now();
        job();
        times.push(begin.elapsed().as_secs_f64());
    }
    let busy = scheduled().ran - start.ran;
    times.sort_by(f64::total_cmp);
    Rate {
        by_clock: flops / times[times.len() / 2] / 1e9,
        by_core: if busy > 0.0 {
            flops * times.len() as f64 / busy / 1e9
        } else {
            0.0
        },
    }
}

/// Seconds that the threads of this process ran, and that they could have run had there been a processor.
#[derive(Default)]
struct Scheduled {
    ran: f64,
    waited: f64,
}

fn scheduled() -> Scheduled {
    let mut sum = Scheduled::default();
    for task in std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let mut seconds = text
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0.0) / 1e9);
        sum.ran += seconds.next().unwrap_or(0.0);
        sum.waited += seconds.next().unwrap_or(0.0);
    }
    sum
}

/// Nothing but fused multiply-adds in registers.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod peak {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps};
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};

    /// Enough sums to hide the latency of two units.
    const SUMS: usize = 12;
    const ROUNDS: usize = 1_000_000;

    fn lanes() -> usize {
        match () {
            () if is_x86_feature_detected!("avx512f") => 16,
            () if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => 8,
            () => 0,
        }
    }

    pub fn flops() -> f64 {
        (2 * lanes() * SUMS * ROUNDS) as f64
    }

    pub fn run() {
        // SAFETY: the machine has the instructions, as `lanes` has just asked.
        unsafe {
            match lanes() {
                16 => wide(),
                8 => narrow(),
                _ => {}
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn narrow() {
        // Sums that differ and that the compiler can't know: equal ones it would compute once.
        let starts: [f32; SUMS] = std::hint::black_box(std::array::from_fn(|i| i as f32));
        let (factor, mut sums) = (_mm256_set1_ps(0.5), [_mm256_set1_ps(0.0); SUMS]);
        for (sum, start) in sums.iter_mut().zip(starts) {
            *sum = _mm256_set1_ps(start);
        }
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, factor);
            }
        }
        std::hint::black_box(sums);
    }

    #[target_feature(enable = "avx512f")]
    fn wide() {
        // Sums that differ and that the compiler can't know: equal ones it would compute once.
        let starts: [f32; SUMS] = std::hint::black_box(std::array::from_fn(|i| i as f32));
        let (factor, mut sums) = (_mm512_set1_ps(0.5), [_mm512_set1_ps(0.0); SUMS]);
        for (sum, start) in sums.iter_mut().zip(starts) {
            *sum = _mm512_set1_ps(start);
        }
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, factor);
            }
        }
        std::hint::black_box(sums);
    }
}

/// Elsewhere the peak is not measured.
#[cfg(not(target_arch = "x86_64"))]
mod peak {
    pub fn flops() -> f64 {
        0.0
    }

    pub fn run() {}
}

/// Names are kernel, channels, image and what else is special.
fn layers() -> Vec<(&'static str, Conv2dSpec)> {
    let spec =
        |batch, channels, size, kernel| Conv2dSpec::square(batch, channels, [size; 2], kernel);
    vec![
        ("7x7 3-64 224 s2", spec(8, [3, 64], 224, 7).stride(2)),
        ("3x3 3-32 299 s2", spec(8, [3, 32], 299, 3).stride(2)),
        ("3x3 3-64 224", spec(4, [3, 64], 224, 3)),
        ("3x3 16-16 56", spec(8, [16, 16], 56, 3)),
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
