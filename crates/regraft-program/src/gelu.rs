//! The Gaussian error linear unit as exporters write it below opset 20, `x (erf(x / sqrt 2) + 1) / 2` in five nodes,
//! becomes one function.

use regraft_onnx::ValueId;
use regraft_onnx::op::{Activation, Binary};

use crate::pass::{Note, Pass};
use crate::step::{Function, Side, Step, Work};

/// Puts one function in the place of each chain; `uses` says how often each value is read.
pub(crate) fn name_gelus(steps: Vec<Step>, uses: &[usize], notes: &mut Vec<Note>) -> Vec<Step> {
    let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    let mut maker = vec![None; uses.len()];
    for index in 0..steps.len() {
        if let Some(chain) = chain(&steps, &maker, uses, index) {
            let inner = chain.inner.map(|inner| steps[inner].take());
            if let Some(last) = &mut steps[index] {
                for step in inner.iter().flatten() {
                    notes.push(Note::applied(Pass::NameGelu, &step.name, &last.name));
                }
                last.work = Work::Function(Function::Onnx(Activation::Gelu { tanh: false }));
                last.inputs = vec![chain.input];
            }
        }
        if let Some(step) = &steps[index] {
            maker[step.output.index()] = Some(index);
        }
    }
    steps.into_iter().flatten().collect()
}

struct Chain {
    input: ValueId,
    /// All its steps but the last.
    inner: [usize; 4],
}

/// The chain that ends in a step.
fn chain(
    steps: &[Option<Step>],
    maker: &[Option<usize>],
    uses: &[usize],
    last: usize,
) -> Option<Chain> {
    // The step that makes a value which nobody else reads.
    let only = |value: &ValueId| {
        let index = maker[value.index()].filter(|_| uses[value.index()] == 1)?;
        Some((index, steps[index].as_ref()?))
    };
    let half = times(steps[last].as_ref()?, 0.5, 0.0)?;
    let (product, pair) = only(&half)?;
    let (Work::Binary(operation), &[left, right]) = (&pair.work, &pair.inputs[..]) else {
        return None;
    };
    if operation.operator != Binary::Mul {
        return None;
    }
    [(left, right), (right, left)]
        .iter()
        .find_map(|(input, gate)| {
            let (sum, step) = only(gate)?;
            let (erf, step) = only(&times(step, 1.0, 1.0)?)?;
            let (Work::Function(Function::Onnx(Activation::Erf)), [scaled]) =
                (&step.work, &step.inputs[..])
            else {
                return None;
            };
            let (scale, step) = only(scaled)?;
            let from = times(step, std::f64::consts::FRAC_1_SQRT_2, 0.0)?;
            (from == *input).then_some(Chain {
                input: *input,
                inner: [product, sum, erf, scale],
            })
        })
}

/// The input of a step that computes `factor x + offset` with just these numbers.
fn times(step: &Step, factor: f64, offset: f64) -> Option<ValueId> {
    let near = |value: f64, number: f64| (value - number).abs() < 1e-6;
    let [input] = step.inputs[..] else {
        return None;
    };
    let fits = match &step.work {
        Work::Scale(scale) => {
            scale.after.is_none()
                && scale.factor.iter().all(|v| near(*v, factor))
                && scale.offset.iter().all(|v| near(*v, offset))
        }
        Work::Binary(pair) => {
            let (side, tensor) = pair.constant.as_ref()?;
            let &[number] = &tensor.values[..] else {
                return None;
            };
            let number = f64::from(number);
            let found = match (pair.operator, side) {
                (Binary::Add, _) => (1.0, number),
                (Binary::Mul, _) => (number, 0.0),
                (Binary::Div, Side::Right) => (1.0 / number, 0.0),
                _ => return None,
            };
            pair.after.is_none() && near(found.0, factor) && near(found.1, offset)
        }
        _ => return None,
    };
    fits.then_some(input)
}
