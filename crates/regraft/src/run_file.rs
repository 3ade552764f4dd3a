//! The names of a run folder's files: each declared once.

use regraft_train::{CHECKPOINTS, METRICS_CSV, METRICS_JSONL};

/// A file (or folder) that a run writes into its folder; everything else there is somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunFile {
    /// What the user wrote, as live keys, and what it came to, as comments.
    Recipe,
    /// What the run began with.
    Record,
    /// Which image went where, with its hash.
    Split,
    /// The plan as people read it.
    PlanTable,
    /// The plan as data.
    Plan,
    /// A line an epoch.
    MetricsTable,
    /// A line a step and an epoch.
    Metrics,
    /// The last two checkpoints.
    Checkpoints,
    /// The network with its solved head, where training goes on from that.
    Start,
    /// What the candidates of a race are tuned in, while it lasts.
    Race,
    /// The best network.
    Best,
    /// The network after the last epoch.
    Last,
    /// A class a line, in the order of the outputs.
    Labels,
    /// What the best network says of the images that were held out.
    Predictions,
    /// What the run came to.
    Summary,
    /// The report.
    Report,
    /// What the command said.
    Log,
}

impl RunFile {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Recipe,
        Self::Record,
        Self::Split,
        Self::PlanTable,
        Self::Plan,
        Self::MetricsTable,
        Self::Metrics,
        Self::Checkpoints,
        Self::Start,
        Self::Race,
        Self::Best,
        Self::Last,
        Self::Labels,
        Self::Predictions,
        Self::Summary,
        Self::Report,
        Self::Log,
    ];

    /// Its name in the folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recipe => "recipe.toml",
            Self::Record => "run.json",
            Self::Split => "split.csv",
            Self::PlanTable => "plan.txt",
            Self::Plan => "plan.json",
            Self::MetricsTable => METRICS_CSV,
            Self::Metrics => METRICS_JSONL,
            Self::Checkpoints => CHECKPOINTS,
            Self::Start => "start.onnx",
            Self::Race => "race",
            Self::Best => "model.onnx",
            Self::Last => "last.onnx",
            Self::Labels => "labels.txt",
            Self::Predictions => "predictions.csv",
            Self::Summary => "summary.json",
            Self::Report => "report.html",
            Self::Log => "train.log",
        }
    }
}
