//! Several nodes become one: batch norm goes into the convolution before it, and what is done to an output element by
//! element is done where that output is written.

use regraft_kernels::Activation;
use regraft_onnx::ValueId;
use regraft_onnx::op::{self, Binary};

use crate::draft::{Combination, Draft, Function, Linear, Scale, Work, gated_by};
use crate::extents::Shape;
use crate::gelu::name_gelus;
use crate::read::Shapes;

/// The drafts with everything fused that can be. `values` is how many the graph has.
pub(crate) fn fuse(
    drafts: Vec<Draft>,
    shapes: &Shapes,
    values: usize,
    target: ValueId,
) -> Vec<Draft> {
    let uses = count_uses(&drafts, values, target);
    let drafts = name_gates(name_gelus(drafts, &uses), values, target);
    let mut fused = Fused {
        uses: count_uses(&drafts, values, target),
        drafts: Vec::with_capacity(drafts.len()),
        maker: vec![None; values],
    };
    for draft in drafts {
        let grown = fused
            .with_producer(&draft)
            .or_else(|| fused.with_residual(shapes, &draft));
        match grown {
            Some((position, grown)) => {
                fused.drafts[position] = None;
                // At the place of the later of the two: the operands of both are there by then.
                fused.push(grown);
            }
            None => fused.push(draft),
        }
    }
    fused.drafts.into_iter().flatten().collect()
}

/// What has been fused so far.
struct Fused {
    /// How often each value is read.
    uses: Vec<usize>,
    /// `None` where a draft has moved on into a later one.
    drafts: Vec<Option<Draft>>,
    /// Position of the draft that makes a value.
    maker: Vec<Option<usize>>,
}

impl Fused {
    fn push(&mut self, draft: Draft) {
        self.maker[draft.output.index()] = Some(self.drafts.len());
        self.drafts.push(Some(draft));
    }

    /// The draft that makes a value which is read once.
    fn only_for(&self, value: ValueId) -> Option<(usize, &Draft)> {
        let position = self.maker[value.index()].filter(|_| self.uses[value.index()] == 1)?;
        Some((position, self.drafts[position].as_ref()?))
    }

    /// A scale, a bias or a function in the draft whose output it alone reads.
    fn with_producer(&self, draft: &Draft) -> Option<(usize, Draft)> {
        let [input] = draft.inputs[..] else {
            return None;
        };
        let (position, producer) = self.only_for(input)?;
        let work = match &draft.work {
            Work::Scale(scale) => scaled(&producer.work, scale)?,
            Work::Function(function) => followed(&producer.work, *function)?,
            Work::Binary(pair) => biased(&producer.work, pair)?,
            _ => return None,
        };
        let grown = Draft {
            work,
            output: draft.output,
            ..producer.clone()
        };
        Some((position, grown))
    }

    /// A sum in a convolution or a layer over rows that it alone reads: of two the later one, the other's output is there by then.
    fn with_residual(&self, shapes: &Shapes, draft: &Draft) -> Option<(usize, Draft)> {
        let (Work::Binary(pair), [left, right]) = (&draft.work, &draft.inputs[..]) else {
            return None;
        };
        if pair.operator != Binary::Add || shapes.get(*left) != shapes.get(*right) {
            return None;
        }
        let candidate = |value: ValueId, other: ValueId| {
            let (position, producer) = self.only_for(value)?;
            let work = with_sum(&producer.work, shapes.get(value)?)?;
            Some((position, producer, work, other))
        };
        let (position, producer, work, other) = candidate(*left, *right)
            .into_iter()
            .chain(candidate(*right, *left))
            .max_by_key(|(position, ..)| *position)?;
        let grown = Draft {
            name: producer.name.clone(),
            work,
            inputs: vec![*producer.inputs.first()?, other],
            output: draft.output,
        };
        Some((position, grown))
    }
}

/// The work with a second input that is added to its output, of the given shape.
fn with_sum(work: &Work, shape: &Shape) -> Option<Work> {
    let mut work = work.clone();
    match &mut work {
        Work::Conv(conv) if !conv.residual && conv.activation == Activation::None => {
            conv.residual = true;
        }
        Work::Linear(linear)
            if !linear.residual && linear.after.is_none() && linear.rows(shape) > 1 =>
        {
            linear.residual = true;
        }
        _ => return None,
    }
    Some(work)
}

/// A sum with a constant behind a linear layer: its bias, and the function behind the sum.
fn biased(work: &Work, pair: &Combination) -> Option<Work> {
    let (Work::Linear(linear), Binary::Add, Some((_, constant))) =
        (work, pair.operator, &pair.constant)
    else {
        return None;
    };
    let along_outputs =
        constant.extents.last() == Some(&linear.outputs) && constant.values.len() == linear.outputs;
    let plain = linear.bias.is_none() && !linear.residual && linear.after.is_none();
    (along_outputs && plain).then(|| {
        Work::Linear(Box::new(Linear {
            bias: Some(constant.values.clone()),
            after: pair.after,
            ..(**linear).clone()
        }))
    })
}

/// A scale after a convolution or another scale, in f64: `s (w x + b) + t = (s w) x + (s b + t)`.
fn scaled(work: &Work, scale: &Scale) -> Option<Work> {
    match work {
        Work::Conv(conv) if !conv.residual && conv.activation == Activation::None => {
            let mut conv = conv.clone();
            let channels = scale.factor.len();
            let mut weight = conv.weight.to_vec();
            let each = weight.len() / channels.max(1);
            for (weights, factor) in weight.chunks_mut(each.max(1)).zip(&scale.factor) {
                for weight in weights {
                    *weight = (f64::from(*weight) * factor) as f32;
                }
            }
            conv.weight = weight.into();
            let before = conv.bias.unwrap_or_else(|| vec![0.0; channels]);
            let bias = before.iter().zip(scale.factor.iter().zip(&scale.offset));
            conv.bias = Some(
                bias.map(|(&bias, (factor, offset))| (f64::from(bias) * factor + offset) as f32)
                    .collect(),
            );
            Some(Work::Conv(conv))
        }
        Work::Scale(first) if first.after.is_none() => {
            let offsets = first.offset.iter().zip(&scale.factor).zip(&scale.offset);
            let factors = first.factor.iter().zip(&scale.factor);
            Some(Work::Scale(Box::new(Scale {
                axis: first.axis,
                factor: factors.map(|(a, b)| a * b).collect(),
                offset: offsets.map(|((a, factor), b)| a * factor + b).collect(),
                after: scale.after,
            })))
        }
        _ => None,
    }
}

/// A function after work that can apply it to what it writes.
fn followed(work: &Work, function: Function) -> Option<Work> {
    let mut work = work.clone();
    match &mut work {
        Work::Conv(conv) if conv.activation == Activation::None => {
            conv.activation = function.of_convolution()?;
        }
        Work::Scale(scale) if scale.after.is_none() => scale.after = Some(function),
        Work::Binary(pair) if pair.after.is_none() => pair.after = Some(function),
        Work::Linear(linear) if linear.after.is_none() => linear.after = Some(function),
        _ => return None,
    }
    Some(work)
}

/// `x gate(x)` in two nodes becomes one function, where `gate(x)` is nothing else's.
fn name_gates(drafts: Vec<Draft>, values: usize, target: ValueId) -> Vec<Draft> {
    let uses = count_uses(&drafts, values, target);
    let mut gates = vec![None; values];
    let mut kept: Vec<Option<Draft>> = Vec::with_capacity(drafts.len());
    for mut draft in drafts {
        if let (Work::Function(function), [input]) = (&draft.work, &draft.inputs[..])
            && let Some(whole) = whole(*function)
            && uses[draft.output.index()] == 1
        {
            gates[draft.output.index()] = Some((kept.len(), *input, whole));
        }
        if let (Work::Binary(pair), &[left, right]) = (&draft.work, &draft.inputs[..])
            && pair.operator == Binary::Mul
        {
            let gate =
                |gate: ValueId, x: ValueId| gates[gate.index()].filter(|(_, input, _)| *input == x);
            if let Some((position, input, whole)) = gate(right, left).or(gate(left, right)) {
                kept[position] = None;
                draft.work = Work::Function(whole);
                draft.inputs = vec![input];
            }
        }
        kept.push(Some(draft));
    }
    kept.into_iter().flatten().collect()
}

/// What `x gate(x)` is called.
fn whole(gate: Function) -> Option<Function> {
    let Function::Onnx(gate) = gate else {
        return None;
    };
    match gated_by(gate)? {
        Activation::Silu => Some(Function::Silu),
        Activation::HardSwish => Some(Function::Onnx(op::Activation::HardSwish)),
        _ => None,
    }
}

fn count_uses(drafts: &[Draft], values: usize, target: ValueId) -> Vec<usize> {
    let mut uses = vec![0; values];
    for input in drafts.iter().flat_map(|draft| &draft.inputs) {
        uses[input.index()] += 1;
    }
    uses[target.index()] += 1;
    uses
}
