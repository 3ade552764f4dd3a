//! Learning rate by step: a pure function, so that a resumed run needs no state for it.

use std::f64::consts::PI;

use regraft_spec::{Schedule, ScheduleKind};

/// One-cycle starts at this share of the peak (Smith and Topin 2017, with PyTorch's `div_factor`).
const ONE_CYCLE_START: f64 = 1.0 / 25.0;
/// One-cycle ends at this share of the peak (`div_factor * final_div_factor`).
const ONE_CYCLE_END: f64 = 1.0 / 25e4;

/// The learning rate of step `step` (from 0) of `total`, with `per_epoch` steps an epoch and peak `lr`.
///
/// All but `one-cycle` warm up linearly, and count their epochs from the end of that; `one-cycle` rises and falls along half cosines, as PyTorch's `OneCycleLR`.
pub fn learning_rate(
    schedule: &Schedule,
    lr: f64,
    step: usize,
    total: usize,
    per_epoch: usize,
) -> f64 {
    let epochs = total.checked_div(per_epoch).unwrap_or(0);
    let warmup = schedule.warmup(epochs) * per_epoch as f64;
    let step = step as f64;
    let last = (total.max(1) - 1) as f64;
    match schedule.kind {
        ScheduleKind::OneCycle => {
            let peak = (warmup - 1.0).max(0.0);
            if step <= peak && peak > 0.0 {
                anneal(lr * ONE_CYCLE_START, lr, step / peak)
            } else {
                anneal(
                    lr,
                    lr * ONE_CYCLE_END,
                    (step - peak) / (last - peak).max(1.0),
                )
            }
        }
        _ if step < warmup => lr * (step + 1.0) / (warmup + 1.0),
        ScheduleKind::Cosine => anneal(lr, 0.0, (step - warmup) / (total as f64 - warmup).max(1.0)),
        ScheduleKind::Constant => lr,
        ScheduleKind::Step { every, factor } => {
            let drops = (epochs_since(step - warmup, per_epoch) / every.max(1) as f64).floor();
            lr * factor.powf(drops)
        }
        ScheduleKind::CosineRestarts { first, grow } => {
            let mut done = epochs_since(step - warmup, per_epoch);
            let mut length = first.max(1) as f64;
            if grow <= 1 {
                done %= length;
            }
            while done >= length {
                done -= length;
                length *= grow as f64;
            }
            anneal(lr, 0.0, done / length)
        }
    }
}

/// Steps in epochs. What a fractional warm-up leaves off a whole number by rounding counts as that number.
fn epochs_since(steps: f64, per_epoch: usize) -> f64 {
    let epochs = steps / per_epoch.max(1) as f64;
    let whole = epochs.round();
    match (epochs - whole).abs() < 1e-9 {
        true => whole,
        false => epochs,
    }
}

/// From `start` to `end` along half a cosine, `share` from 0 to 1.
fn anneal(start: f64, end: f64, share: f64) -> f64 {
    end + (start - end) * (1.0 + (PI * share.clamp(0.0, 1.0)).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-9 * expected.abs().max(1e-6),
            "{found} is not {expected}"
        );
    }

    #[test]
    fn one_cycle_matches_pytorch() {
        // torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, total_steps=10, pct_start=0.3), get_last_lr() of each step.
        let reference = [
            0.004,
            0.052,
            0.1,
            0.095_048_463_201_347_4,
            0.081_174_565_394_976_3,
            0.061_126_202_193_628_9,
            0.038_874_197_806_371_1,
            0.018_825_834_605_023_7,
            0.004_951_936_798_652_6,
            4e-07,
        ];
        let schedule = Schedule {
            kind: ScheduleKind::OneCycle,
            warmup_epochs: Some(3.0),
        };
        for (step, expected) in reference.into_iter().enumerate() {
            close(learning_rate(&schedule, 0.1, step, 10, 1), expected);
        }
    }

    #[test]
    fn cosine_falls_from_the_peak_to_nearly_nothing_after_its_warm_up() {
        let schedule = Schedule {
            kind: ScheduleKind::Cosine,
            warmup_epochs: Some(1.0),
        };
        let rates: Vec<f64> = (0..40)
            .map(|step| learning_rate(&schedule, 1.0, step, 40, 4))
            .collect();
        close(rates[0], 0.2);
        close(rates[4], 1.0);
        assert!(rates[4..].windows(2).all(|pair| pair[0] > pair[1]) && rates[39] < 0.01);
    }

    fn rates(kind: ScheduleKind, warmup: f64, epochs: usize, per_epoch: usize) -> Vec<f64> {
        let schedule = Schedule {
            kind,
            warmup_epochs: Some(warmup),
        };
        let total = epochs * per_epoch;
        (0..total)
            .map(|step| learning_rate(&schedule, 0.1, step, total, per_epoch))
            .collect()
    }

    #[test]
    fn step_matches_pytorch() {
        // torch.optim.lr_scheduler.StepLR(step_size=2, gamma=0.5): lr * gamma^floor(epoch / step_size), stepped every epoch.
        let kind = ScheduleKind::Step {
            every: 2,
            factor: 0.5,
        };
        let reference = [0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125];
        for (step, found) in rates(kind, 0.0, 7, 3).into_iter().enumerate() {
            close(found, reference[step / 3]);
        }
        // Drops are counted from the end of the warm-up.
        let warm = rates(kind, 0.3, 7, 10);
        close(warm[0], 0.1 / 4.0);
        for (step, expected) in [(3, 0.1), (22, 0.1), (23, 0.05), (42, 0.05), (43, 0.025)] {
            close(warm[step], expected);
        }
    }

    #[test]
    fn cosine_restarts_match_pytorch() {
        // torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(T_0=2, T_mult=2), stepped with epoch + step / steps:
        // lr (1 + cos(pi T_cur / T_i)) / 2.
        let kind = ScheduleKind::CosineRestarts { first: 2, grow: 2 };
        let found = rates(kind, 0.0, 14, 2);
        let lengths = [(0, 4), (4, 8), (12, 16)];
        for (start, length) in lengths {
            for step in 0..length {
                let share = step as f64 / length as f64;
                close(found[start + step], 0.1 * (1.0 + (PI * share).cos()) / 2.0);
            }
        }
        close(found[1], 0.085_355_339_059_327_4);
        close(found[8], 0.05);
        let again = rates(
            ScheduleKind::CosineRestarts { first: 3, grow: 1 },
            1.0,
            10,
            4,
        );
        assert!(again[3] < 0.1);
        for restart in [4, 16, 28] {
            close(again[restart], 0.1);
            close(again[restart + 6], 0.05);
        }
    }

    #[test]
    fn constant_stays() {
        let schedule = Schedule {
            kind: ScheduleKind::Constant,
            warmup_epochs: Some(0.0),
        };
        close(learning_rate(&schedule, 0.3, 7, 10, 2), 0.3);
    }
}
