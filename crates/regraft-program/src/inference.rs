//! The program for inference: several nodes become one step, so that what is done to an output element by element is done
//! where that output is written.

use regraft_kernels::Activation;
use regraft_onnx::op::{self, Binary};
use regraft_onnx::{Graph, ValueId};

use crate::error::Unsupported;
use crate::fold::fold_batch_norm;
use crate::gelu::name_gelus;
use crate::graph::subgraph;
use crate::pass::{Note, Pass};
use crate::read::{Shapes, read};
use crate::shape::Shape;
use crate::step::{Combination, Function, Linear, Scale, Step, Work, gated_by};

/// A network made ready for inference: steps in the order in which they are computed, each one node or several.
#[derive(Debug, Clone)]
pub struct Program {
    /// The steps.
    pub steps: Vec<Step>,
    /// The shapes of the values between them.
    pub shapes: Shapes,
    /// The image input.
    pub input: ValueId,
    /// What the last step makes.
    pub output: ValueId,
    /// What the passes did, and what they left alone.
    pub notes: Vec<Note>,
}

impl Program {
    /// The program of what `target` needs of a graph, batch norm by running statistics.
    ///
    /// # Errors
    /// At the first node that has no place in a program.
    pub fn inference(graph: &Graph, target: ValueId) -> Result<Self, Unsupported> {
        let (graph, mut notes) = fold_batch_norm(subgraph(graph, target));
        let shapes = Shapes::of(&graph);
        let steps = read(&graph, &shapes)?;
        let steps = fuse(steps, &shapes, graph.values.len(), target, &mut notes);
        Ok(Self {
            steps,
            shapes,
            input: graph.input,
            output: target,
            notes,
        })
    }
}

/// The steps with everything fused that can be. `values` is how many the graph has.
fn fuse(
    steps: Vec<Step>,
    shapes: &Shapes,
    values: usize,
    target: ValueId,
    notes: &mut Vec<Note>,
) -> Vec<Step> {
    let uses = count_uses(&steps, values, target);
    let steps = name_gelus(steps, &uses, notes);
    let steps = name_gates(steps, values, target, notes);
    let mut fused = Fused {
        uses: count_uses(&steps, values, target),
        steps: Vec::with_capacity(steps.len()),
        maker: vec![None; values],
    };
    for step in steps {
        let grown = match fused.with_producer(&step) {
            Ok(grown) => Ok((Pass::Epilogue, grown)),
            Err(why) => match fused.with_residual(shapes, &step) {
                Ok(grown) => Ok((Pass::ResidualSum, grown)),
                Err(other) => Err(why
                    .map(|why| (Pass::Epilogue, why))
                    .or(other.map(|why| (Pass::ResidualSum, why)))),
            },
        };
        match grown {
            Ok((pass, (position, grown))) => {
                notes.push(Note::applied(pass, &step.name, &grown.name));
                fused.steps[position] = None;
                // At the place of the later of the two: the operands of both are there by then.
                fused.push(grown);
            }
            Err(why) => {
                if let Some((pass, why)) = why {
                    notes.push(Note::left(pass, &step.name, why));
                }
                fused.push(step);
            }
        }
    }
    fused.steps.into_iter().flatten().collect()
}

/// Why a step stays by itself; none where nothing was to be fused.
type Why = Option<&'static str>;

/// What has been fused so far.
struct Fused {
    /// How often each value is read.
    uses: Vec<usize>,
    /// `None` where a step has moved on into a later one.
    steps: Vec<Option<Step>>,
    /// Position of the step that makes a value.
    maker: Vec<Option<usize>>,
}

impl Fused {
    fn push(&mut self, step: Step) {
        self.maker[step.output.index()] = Some(self.steps.len());
        self.steps.push(Some(step));
    }

    /// The step that makes a value which is read once.
    fn only_for(&self, value: ValueId) -> Result<(usize, &Step), &'static str> {
        if self.uses[value.index()] != 1 {
            return Err("others read its operand too");
        }
        let position = self.maker[value.index()].ok_or("it reads the network's input")?;
        let step = self.steps[position].as_ref().ok_or("its operand is gone")?;
        Ok((position, step))
    }

    /// A scale, a bias or a function in the step whose output it alone reads.
    fn with_producer(&self, step: &Step) -> Result<(usize, Step), Why> {
        let joins = matches!(
            step.work,
            Work::Scale(_) | Work::Function(_) | Work::Binary(_)
        );
        let [input] = step.inputs[..] else {
            return Err(None);
        };
        if !joins {
            return Err(None);
        }
        let (position, producer) = self.only_for(input).map_err(Some)?;
        let work = match &step.work {
            Work::Scale(scale) => scaled(&producer.work, scale),
            Work::Function(function) => followed(&producer.work, *function),
            Work::Binary(pair) => biased(&producer.work, pair),
            _ => None,
        };
        let work = work.ok_or(Some("what makes its operand cannot compute it"))?;
        let grown = Step {
            work,
            output: step.output,
            ..producer.clone()
        };
        Ok((position, grown))
    }

    /// A sum in a convolution or a layer over rows that it alone reads: of two the later one, the other's output is there by then.
    fn with_residual(&self, shapes: &Shapes, step: &Step) -> Result<(usize, Step), Why> {
        let (Work::Binary(pair), [left, right]) = (&step.work, &step.inputs[..]) else {
            return Err(None);
        };
        if pair.operator != Binary::Add {
            return Err(None);
        }
        if shapes.get(*left) != shapes.get(*right) {
            return Err(Some("its operands have two shapes"));
        }
        let candidate = |value: ValueId, other: ValueId| {
            let (position, producer) = self.only_for(value).ok()?;
            let work = with_sum(&producer.work, shapes.get(value)?)?;
            Some((position, producer, work, other))
        };
        let (position, producer, work, other) = candidate(*left, *right)
            .into_iter()
            .chain(candidate(*right, *left))
            .max_by_key(|(position, ..)| *position)
            .ok_or(Some(
                "no convolution or layer that it alone reads makes an operand",
            ))?;
        let grown = Step {
            name: producer.name.clone(),
            work,
            inputs: vec![*producer.inputs.first().ok_or(None)?, other],
            output: step.output,
        };
        Ok((position, grown))
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

/// A scale after another, in f64: `s (f x + o) + t = (s f) x + (s o + t)`.
fn scaled(work: &Work, scale: &Scale) -> Option<Work> {
    match work {
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
fn name_gates(
    steps: Vec<Step>,
    values: usize,
    target: ValueId,
    notes: &mut Vec<Note>,
) -> Vec<Step> {
    let uses = count_uses(&steps, values, target);
    let mut gates = vec![None; values];
    let mut kept: Vec<Option<Step>> = Vec::with_capacity(steps.len());
    for mut step in steps {
        if let (Work::Function(function), [input]) = (&step.work, &step.inputs[..])
            && let Some(whole) = whole(*function)
            && uses[step.output.index()] == 1
        {
            gates[step.output.index()] = Some((kept.len(), *input, whole));
        }
        if let (Work::Binary(pair), &[left, right]) = (&step.work, &step.inputs[..])
            && pair.operator == Binary::Mul
        {
            let gate =
                |gate: ValueId, x: ValueId| gates[gate.index()].filter(|(_, input, _)| *input == x);
            if let Some((position, input, whole)) = gate(right, left).or(gate(left, right)) {
                if let Some(gate) = kept[position].take() {
                    notes.push(Note::applied(Pass::NameGate, &gate.name, &step.name));
                }
                step.work = Work::Function(whole);
                step.inputs = vec![input];
            }
        }
        kept.push(Some(step));
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

fn count_uses(steps: &[Step], values: usize, target: ValueId) -> Vec<usize> {
    let mut uses = vec![0; values];
    for input in steps.iter().flat_map(|step| &step.inputs) {
        uses[input.index()] += 1;
    }
    uses[target.index()] += 1;
    uses
}
