//! The layout of images, chosen once: convolutions and pooling want channels last, what follows them element by element takes
//! what it gets, and the rest wants the graph's own order.

use regraft_onnx::ValueId;

use regraft_program::Extents;
use regraft_program::Shapes;
use regraft_program::{Combination, Scale, Step, Tensor, Work};

/// Axis by axis, where `[N, C, H, W]` has what `[N, H, W, C]` has.
const ORDER: [usize; 4] = [0, 2, 3, 1];
const BACK: [usize; 4] = [0, 3, 1, 2];

/// The drafts with their layouts chosen, and what turns one into the other between them.
pub(crate) fn choose_layouts(
    drafts: Vec<Step>,
    shapes: &mut Shapes,
    input: ValueId,
    target: ValueId,
) -> Vec<Step> {
    let count = shapes.iter().count();
    let mut layouts = Layouts {
        shapes,
        made: vec![Made::default(); count],
        drafts: Vec::with_capacity(drafts.len()),
    };
    layouts.made[input.index()].first = true;
    for draft in drafts {
        layouts.add(draft);
    }
    layouts.first(target, "output");
    layouts.drafts
}

/// In which layouts a value has been computed so far.
#[derive(Debug, Clone, Copy, Default)]
struct Made {
    first: bool,
    last: Option<ValueId>,
}

struct Layouts<'a> {
    shapes: &'a mut Shapes,
    made: Vec<Made>,
    drafts: Vec<Step>,
}

impl Layouts<'_> {
    fn add(&mut self, draft: Step) {
        let Step {
            name,
            work,
            inputs,
            output,
        } = draft;
        match self.with_channels_last(&work, &inputs, output) {
            Some(work) => {
                let inputs = inputs.iter().map(|&value| self.last(value, &name));
                let inputs = inputs.collect();
                // A mean of whole planes is the same values in either order.
                let output = if matches!(work, Work::Mean { .. }) {
                    self.made[output.index()].first = true;
                    output
                } else {
                    self.new_last(output)
                };
                self.push(name, work, inputs, output);
            }
            None => self.add_with_channels_first(name, work, &inputs, output),
        }
    }

    fn add_with_channels_first(
        &mut self,
        name: String,
        work: Work,
        inputs: &[ValueId],
        output: ValueId,
    ) {
        if let (Work::Transpose { perm }, &[input]) = (&work, inputs) {
            let made = self.made[input.index()];
            if perm[..] == ORDER
                && let (Some(last), false) = (made.last, made.first)
            {
                self.made[output.index()].first = true;
                self.push(name, Work::View, vec![last], output);
                return;
            }
            if perm[..] == BACK && self.is_image(output) {
                let input = self.first(input, &name);
                let output = self.new_last(output);
                self.push(name, Work::View, vec![input], output);
                return;
            }
        }
        let inputs = inputs.iter().map(|&value| self.first(value, &name));
        let inputs = inputs.collect();
        self.made[output.index()].first = true;
        self.push(name, work, inputs, output);
    }

    fn push(&mut self, name: String, work: Work, inputs: Vec<ValueId>, output: ValueId) {
        self.drafts.push(Step {
            name,
            work,
            inputs,
            output,
        });
    }

    fn is_image(&self, value: ValueId) -> bool {
        self.shapes
            .get(value)
            .is_some_and(|shape| shape.image().is_some())
    }

    /// Whether a value has been computed with channels last only.
    fn is_last(&self, value: ValueId) -> bool {
        let made = self.made[value.index()];
        made.last.is_some() && !made.first
    }

    /// The value that holds `value` with channels last, which is about to be computed.
    fn new_last(&mut self, value: ValueId) -> ValueId {
        let shape = self.shapes.get(value);
        let shape = shape.and_then(|shape| shape.channels_last());
        // Only images get here; a value without a shape stays what it is.
        let last = shape.map_or(value, |shape| self.shapes.push(shape));
        self.made[value.index()].last = Some(last);
        last
    }

    /// `value` with channels last, reordered where it has to be.
    fn last(&mut self, value: ValueId, name: &str) -> ValueId {
        if let Some(last) = self.made[value.index()].last {
            return last;
        }
        let work = self.reorder(value, true);
        let last = self.new_last(value);
        self.push(name.to_owned(), work, vec![value], last);
        last
    }

    /// `value` as the graph has it.
    fn first(&mut self, value: ValueId, name: &str) -> ValueId {
        let made = self.made[value.index()];
        if let (Some(last), false) = (made.last, made.first) {
            self.made[value.index()].first = true;
            self.push(
                name.to_owned(),
                self.reorder(value, false),
                vec![last],
                value,
            );
        }
        value
    }

    /// Nothing moves where there is one pixel or one channel.
    fn reorder(&self, value: ValueId, to_last: bool) -> Work {
        let image = self.shapes.get(value).and_then(|shape| shape.image());
        match image {
            Some([channels, height, width]) if channels > 1 && height * width > 1 => {
                Work::Reorder { to_last }
            }
            _ => Work::View,
        }
    }

    /// The same work on images whose channels lie last, where it runs on those.
    fn with_channels_last(&self, work: &Work, inputs: &[ValueId], output: ValueId) -> Option<Work> {
        if !inputs.iter().all(|&value| self.is_image(value)) {
            return None;
        }
        if matches!(
            work,
            Work::Conv(_) | Work::MaxPool(_) | Work::AveragePool { .. }
        ) {
            return Some(work.clone());
        }
        if !inputs.iter().any(|&value| self.is_last(value)) {
            return None;
        }
        if let Work::Mean { first: 2, axes: 2 } = work {
            return Some(Work::Mean { first: 1, axes: 2 });
        }
        if !self.is_image(output) {
            return None;
        }
        let moved = |axis: usize| ORDER.iter().position(|from| *from == axis);
        Some(match work {
            Work::Function(function) => Work::Function(*function),
            Work::Scale(scale) => Work::Scale(Box::new(Scale {
                axis: 3,
                ..(**scale).clone()
            })),
            Work::Binary(pair) => Work::Binary(Box::new(Combination {
                constant: match &pair.constant {
                    Some((side, tensor)) => Some((*side, constant(tensor)?)),
                    None => None,
                },
                ..(**pair).clone()
            })),
            Work::Concat { axis } => Work::Concat {
                axis: moved(*axis)?,
            },
            Work::Slice { axis, start, step } => Work::Slice {
                axis: moved(*axis)?,
                start: *start,
                step: *step,
            },
            Work::Softmax { axis, log } => Work::Softmax {
                axis: moved(*axis)?,
                log: *log,
            },
            Work::Pad { pads, value, .. } => Work::Pad {
                pads: *pads,
                value: *value,
                channels_last: true,
            },
            _ => return None,
        })
    }
}

/// A constant `[N, C, H, W]`, or the last axes of one, with channels last.
fn constant(tensor: &Tensor) -> Option<Tensor> {
    if tensor.extents.len() > 4 {
        return None;
    }
    let own = tensor.extents.aligned(4);
    let strides = own.strides();
    let [n, h, w, c] = ORDER.map(|axis| own[axis]);
    let [by_n, by_h, by_w, by_c] = ORDER.map(|axis| strides[axis]);
    let mut values = Vec::with_capacity(tensor.values.len());
    for n in 0..n {
        for h in 0..h {
            for w in 0..w {
                values.extend(
                    (0..c).map(|c| tensor.values[n * by_n + h * by_h + w * by_w + c * by_c]),
                );
            }
        }
    }
    Some(Tensor {
        extents: Extents::new(&[n, h, w, c])?,
        values,
    })
}
