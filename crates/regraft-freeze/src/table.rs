//! The plan as people read it: a row a block, a line where the trunk ends, and what it will cost.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::outline::Outline;
use regraft_spec::Statistics;

use crate::plan::{FreezePlan, Phase};
use crate::resolve::DataFacts;

/// What a phase costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// f32 values that train.
    pub trained_values: u64,
    /// f32 values of all trainable parameters.
    pub total_values: u64,
    /// Peak memory of the process in bytes, by [`Footprint`]: of a training step, or of the evaluation after training where
    /// that takes more.
    pub memory_bytes: u64,
    /// Multiply-accumulates of one image below the cut, forward; once only where features are cached.
    pub trunk_macs: u64,
    /// Multiply-accumulates of one image above the cut, forward; a training step takes about three times as many.
    pub rest_macs: u64,
}

/// What a run keeps in memory besides what the outline tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Bytes of the model's file, which stays in memory while its weights are used.
    pub model_bytes: u64,
    /// f32 values of one preprocessed image.
    pub image_values: u64,
    /// f32 values that the optimizer keeps for each value that trains: 1 for momentum, 2 for AdamW.
    pub optimizer_values: u64,
}

/// Memory of a process that has done nothing yet but start its threads and read its images' names, in bytes.
const AT_REST: u64 = 60 << 20;
/// Batches of images that are decoded ahead or in use.
const BATCHES_IN_FLIGHT: u64 = 3;
/// f32 values of a frozen weight as the trunk keeps it, in tenths: a 3 x 3 kernel is kept transformed (Winograd), in four times
/// its values, others as they are. Measured over SqueezeNet, ResNet-50 and VGG-16.
const PACKED_TENTHS: u64 = 24;

/// Estimates a phase's cost.
///
/// Training keeps the file, the images in flight, frozen weights as the trunk wants them, trained ones with their gradient and
/// what the optimizer keeps (both again for a checkpoint, but for the gradient), the activations above the cut for every image
/// of a batch, and twice the largest of those while a gradient passes. The evaluation at the end keeps the whole network as a
/// trunk, beside the weights it was read from.
pub fn estimate(
    outline: &Outline,
    phase: &Phase,
    facts: &DataFacts,
    footprint: &Footprint,
) -> Estimate {
    let (trained_values, total_values) = values(outline, phase);
    let (trunk, rest) = outline
        .blocks
        .split_at(phase.frozen_blocks.min(outline.blocks.len()));
    let activations: u64 = rest.iter().map(|block| block.activations).sum();
    let largest = rest.iter().map(|block| block.largest).max().unwrap_or(0);
    let batch = facts.batch_size as u64;
    let packed = |values: u64| values * PACKED_TENTHS / 10;
    let images = BATCHES_IN_FLIGHT * batch * footprint.image_values;
    let training = packed(total_values - trained_values)
        + trained_values * (3 + 2 * footprint.optimizer_values)
        + batch * (activations + 2 * largest);
    let evaluation = packed(total_values) + total_values;
    Estimate {
        trained_values,
        total_values,
        memory_bytes: AT_REST + footprint.model_bytes + 4 * (images + training.max(evaluation)),
        trunk_macs: trunk.iter().map(|block| block.macs).sum(),
        rest_macs: rest.iter().map(|block| block.macs).sum(),
    }
}

/// f32 values that train in a phase, and of all trainable parameters.
fn values(outline: &Outline, phase: &Phase) -> (u64, u64) {
    let (mut trained, mut total) = (0, 0);
    for (parameter, plan) in outline.parameters.iter().zip(&phase.parameters) {
        let values = parameter.shape.iter().product::<usize>() as u64;
        total += values;
        trained += if plan.trained { values } else { 0 };
    }
    (trained, total)
}

impl FreezePlan {
    /// The plan as people read it, a row a block: which part of it trains, by which factor on the learning rate, and whether
    /// batch norm updates its statistics. [`table`] adds what it costs.
    ///
    /// # Errors
    /// As [`FreezePlan::check`].
    pub fn table(&self, outline: &Outline) -> Result<String, Error> {
        self.check(outline)?;
        Ok(text(outline, self, DECISIONS, |phase| {
            let (trained, total) = values(outline, phase);
            format!("\n{}\n", share(trained, total))
        }))
    }
}

/// The plan as a table, for every phase, with what it costs.
pub fn table(
    outline: &Outline,
    plan: &FreezePlan,
    facts: &DataFacts,
    footprint: &Footprint,
) -> String {
    text(outline, plan, COLUMNS.len(), |phase| {
        totals(&estimate(outline, phase, facts, footprint))
    })
}

/// A column's heading, its width in characters and whether its cells end at the right.
type Column = (&'static str, usize, bool);
/// The columns after the block's name.
const COLUMNS: [Column; 5] = [
    ("parameters", 10, true),
    ("state", 8, false),
    ("lr", 9, true),
    ("batch norm", 10, false),
    ("MACs", 10, true),
];
/// Number of columns that say what was decided; the others say what it costs.
const DECISIONS: usize = 4;

fn text(
    outline: &Outline,
    plan: &FreezePlan,
    columns: usize,
    totals: impl Fn(&Phase) -> String,
) -> String {
    let mut text = format!("policy: {}\nwhy:    {}\n", plan.policy, plan.reason);
    for phase in &plan.phases {
        if plan.phases.len() > 1 {
            text.push_str(&format!("\nphase {} ({})\n", phase.name, duration(phase)));
        }
        text.push('\n');
        text.push_str(&phase_table(outline, phase, columns));
        text.push_str(&totals(phase));
    }
    text
}

fn duration(phase: &Phase) -> String {
    match phase.epochs {
        None => "to the end".to_owned(),
        Some(1) => "1 epoch".to_owned(),
        Some(epochs) => format!("{epochs} epochs"),
    }
}

fn line<'a>(name: &str, width: usize, cells: impl Iterator<Item = &'a str>) -> String {
    let mut line = format!("  {name:<width$}");
    for ((_, width, right), cell) in COLUMNS.iter().zip(cells) {
        line.push_str(&match right {
            true => format!("  {cell:>width$}"),
            false => format!("  {cell:<width$}"),
        });
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

fn phase_table(outline: &Outline, phase: &Phase, columns: usize) -> String {
    let width = outline
        .blocks
        .iter()
        .map(|block| block.name.chars().count() + 7 * usize::from(block.head))
        .max()
        .unwrap_or(0)
        .max(5);
    let headings = COLUMNS.iter().map(|(heading, ..)| *heading);
    let mut text = line("block", width, headings.take(columns));
    // As long as the headings, but for their indent, the end of the line and a character.
    let length = text.chars().count() - 4;
    for (index, block) in outline.blocks.iter().enumerate() {
        if index == phase.frozen_blocks && index > 0 {
            text.push_str(&format!("  {}\n", cut_line(length)));
        }
        let members: Vec<_> = outline
            .parameters
            .iter()
            .zip(&phase.parameters)
            .filter(|(parameter, _)| parameter.block == index)
            .collect();
        let values: usize = members
            .iter()
            .map(|(parameter, _)| parameter.shape.iter().product::<usize>())
            .sum();
        let trained: Vec<f64> = members
            .iter()
            .filter(|(_, plan)| plan.trained)
            .map(|(_, plan)| plan.lr_multiplier)
            .collect();
        let state = match (trained.len(), members.len()) {
            (_, 0) => "-",
            (0, _) => "frozen",
            (some, all) if some == all => "trained",
            _ => "partly",
        };
        let lr = match trained.first() {
            None => "-".to_owned(),
            Some(first) if trained.iter().all(|lr| lr == first) => format!("x{}", rounded(*first)),
            Some(_) => {
                let low = trained.iter().copied().fold(f64::INFINITY, f64::min);
                let high = trained.iter().copied().fold(0.0, f64::max);
                format!("x{}-{}", rounded(low), rounded(high))
            }
        };
        let norms: Vec<Statistics> = outline
            .norms
            .iter()
            .zip(&phase.norms)
            .filter(|(norm, _)| norm.block == index)
            .map(|(_, plan)| plan.statistics)
            .collect();
        let batch_norm = match norms.as_slice() {
            [] => "-",
            list if list.contains(&Statistics::Updated) => "updated",
            _ => "frozen",
        };
        let name = format!("{}{}", block.name, if block.head { " (head)" } else { "" });
        let (values, macs) = (grouped(values as u64), millions(block.macs));
        let cells = [values.as_str(), state, &lr, batch_norm, &macs];
        text.push_str(&line(&name, width, cells.into_iter().take(columns)));
    }
    text
}

fn cut_line(length: usize) -> String {
    let middle = length / 2 - 3;
    format!(
        "{} cut {}",
        "─".repeat(middle),
        "─".repeat(length - middle - 5)
    )
}

fn share(trained: u64, total: u64) -> String {
    let share = 100.0 * trained as f64 / total.max(1) as f64;
    format!(
        "trains {} of {} parameters ({share:.1} %)",
        grouped(trained),
        grouped(total)
    )
}

fn totals(estimate: &Estimate) -> String {
    format!(
        "\n{}\nmemory about {:.0} MiB; forward {} MACs an image in the trunk, {} above the cut\n",
        share(estimate.trained_values, estimate.total_values),
        estimate.memory_bytes as f64 / f64::from(1 << 20),
        millions(estimate.trunk_macs),
        millions(estimate.rest_macs),
    )
}

fn rounded(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn millions(value: u64) -> String {
    format!("{:.1} M", value as f64 / 1e6)
}

/// `1234567` as `1,234,567`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
