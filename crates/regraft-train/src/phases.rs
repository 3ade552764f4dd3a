//! Which epochs belong to which phase of a plan.

use regraft_freeze::Phase;

/// The epochs of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Which phase, counted from 0.
    pub phase: usize,
    /// Epochs before it.
    pub first: usize,
    /// Its epochs; at least 1.
    pub epochs: usize,
    /// Whether no epoch follows.
    pub is_last: bool,
}

impl Span {
    /// The spans of the phases in `epochs` epochs: phases that do not say how long they are share what the others leave,
    /// the last of them taking the rest. A phase that no epoch is left for is left out; what nobody wants is the last one's.
    pub fn of(phases: &[Phase], epochs: usize) -> Vec<Self> {
        let said: usize = phases.iter().filter_map(|phase| phase.epochs).sum();
        let open = phases.iter().filter(|phase| phase.epochs.is_none()).count();
        let share = epochs
            .saturating_sub(said)
            .checked_div(open)
            .unwrap_or_default()
            .max(1);
        let mut spans: Vec<Self> = Vec::new();
        let mut first = 0;
        for (index, phase) in phases.iter().enumerate() {
            let left = epochs.saturating_sub(first);
            let wanted = match index + 1 == phases.len() {
                true => left,
                false => phase.epochs.unwrap_or(share).min(left),
            };
            if wanted > 0 {
                spans.push(Self {
                    phase: index,
                    first,
                    epochs: wanted,
                    is_last: false,
                });
                first += wanted;
            }
        }
        if let Some(last) = spans.last_mut() {
            last.is_last = true;
        }
        spans
    }

    /// The span of the epoch after `done` epochs; the last one where all are done.
    pub(crate) fn at(spans: &[Self], done: usize) -> Self {
        let here = spans
            .iter()
            .find(|span| done < span.first + span.epochs)
            .or(spans.last());
        here.copied().unwrap_or(Self {
            phase: 0,
            first: 0,
            epochs: 1,
            is_last: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(epochs: &[Option<usize>], total: usize) -> Vec<(usize, usize, usize)> {
        let phase = |epochs: &Option<usize>| Phase {
            name: String::new(),
            epochs: *epochs,
            frozen_blocks: 0,
            parameters: Vec::new(),
            norms: Vec::new(),
        };
        let phases: Vec<Phase> = epochs.iter().map(phase).collect();
        let spans = Span::of(&phases, total);
        assert!(spans.iter().rev().skip(1).all(|span| !span.is_last));
        spans
            .iter()
            .map(|span| (span.phase, span.first, span.epochs))
            .collect()
    }

    #[test]
    fn phases_take_what_they_say_and_the_last_one_the_rest() {
        assert_eq!(spans(&[None], 7), [(0, 0, 7)]);
        assert_eq!(spans(&[Some(2), None], 7), [(0, 0, 2), (1, 2, 5)]);
        assert_eq!(spans(&[Some(2), Some(1)], 7), [(0, 0, 2), (1, 2, 5)]);
        assert_eq!(
            spans(&[None, None, None], 7),
            [(0, 0, 2), (1, 2, 2), (2, 4, 3)]
        );
        assert_eq!(spans(&[Some(0), None], 3), [(1, 0, 3)]);
    }

    #[test]
    fn a_phase_beyond_the_last_epoch_is_left_out() {
        assert_eq!(spans(&[Some(5), None], 3), [(0, 0, 3)]);
        assert_eq!(spans(&[Some(3), Some(2), None], 4), [(0, 0, 3), (1, 3, 1)]);
    }
}
