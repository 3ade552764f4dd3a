//! From a graph to a plan: what is read, fused, packed and placed, in this order.

use std::collections::HashMap;

use regraft_kernels::Precision;
use regraft_onnx::{Graph, ValueId};

use crate::channels_last::choose_layouts;
use crate::kernel::{Kernel, Part, commutes};
use crate::liveness::{self, Layout, Life, Size, WORKING_SET};
use crate::memory::Place;
use regraft_program::{Program, Shapes, Step, Unsupported, Work};

/// A network, or the part of it below a value, ready to run. It holds no activations: those are in
/// [`Buffers`](crate::Buffers), so that several threads can share a plan.
#[derive(Debug)]
pub struct Plan {
    pub(crate) segments: Vec<Segment>,
    /// Values between segments, of one image.
    pub(crate) store: usize,
    /// Values of one image, in and out.
    pub(crate) input: usize,
    pub(crate) output: usize,
}

/// Steps that a group of images goes through together.
#[derive(Debug)]
pub(crate) struct Segment {
    pub steps: Vec<Call>,
    /// Most images at once.
    pub group: usize,
    /// Values that live within it, of one image.
    pub arena: usize,
}

/// One kernel with its operands.
#[derive(Debug)]
pub(crate) struct Call {
    pub name: String,
    pub kernel: Kernel,
    pub reads: Vec<Place>,
    pub writes: Place,
    /// Whether it writes over its first operand.
    pub in_place: bool,
    /// Where it writes a part of a concatenation, its columns.
    pub columns: Option<Part>,
}

impl Plan {
    /// Compiles what `target` needs of a graph: for the trunk below a cut the value that crosses it, for logits
    /// `graph.logits`.
    ///
    /// # Errors
    /// At the first node that no plan can run.
    pub fn compile(graph: &Graph, target: ValueId) -> Result<Self, Unsupported> {
        Self::build(graph, target, WORKING_SET, Precision::F32)
    }

    /// The same for caches of another size: images go through the network in groups whose activations take at most so
    /// many bytes at a time, where that is one image at least.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn with_working_set(
        graph: &Graph,
        target: ValueId,
        bytes: usize,
    ) -> Result<Self, Unsupported> {
        Self::build(graph, target, bytes, Precision::F32)
    }

    /// The same with convolutions in another precision.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn in_precision(
        graph: &Graph,
        target: ValueId,
        precision: Precision,
    ) -> Result<Self, Unsupported> {
        Self::build(graph, target, WORKING_SET, precision)
    }

    fn build(
        graph: &Graph,
        target: ValueId,
        bytes: usize,
        precision: Precision,
    ) -> Result<Self, Unsupported> {
        let Program {
            steps, mut shapes, ..
        } = Program::inference(graph, target)?;
        let mut program_steps = choose_layouts(steps, &mut shapes, graph.input, target);
        let whole = |id: ValueId| {
            let shape = shapes.get(id).filter(|shape| shape.image_by_image());
            shape
                .map(|shape| shape.one().count())
                .ok_or_else(|| refuse(&graph.value(id).name, "its images do not follow each other"))
        };
        let (input, output) = (whole(graph.input)?, whole(target)?);
        let mut kernels = Vec::with_capacity(program_steps.len());
        for step in &mut program_steps {
            full_operand_first(step, &shapes);
            kernels.push(
                Kernel::new(step, &shapes, precision).map_err(|why| refuse(&step.name, &why))?,
            );
        }
        let mut lives: Vec<Life> = program_steps
            .iter()
            .zip(&kernels)
            .map(|(step, kernel)| Life {
                reads: step.inputs.clone(),
                writes: step.output,
                in_place: kernel.works_in_place(),
                view: matches!(step.work, Work::View),
                absorbs: Vec::new(),
            })
            .collect();
        copy_to_target(&mut lives, graph.input, target);
        absorb(&program_steps, &kernels, &mut lives, target);
        let sizes: Vec<Option<Size>> = shapes
            .iter()
            .map(|shape| {
                shape.map(|shape| Size {
                    len: shape.one().count(),
                    image_by_image: shape.image_by_image(),
                })
            })
            .collect();
        let layout =
            liveness::plan(&lives, &sizes, graph.input, target, bytes).ok_or_else(|| {
                refuse(
                    &graph.value(target).name,
                    "it is read before it is computed",
                )
            })?;
        Ok(Self {
            segments: segments(program_steps, kernels, &lives, &layout)?,
            store: layout.store,
            input,
            output,
        })
    }

    /// Values of one image of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.input
    }

    /// Values of one image of the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.output
    }

    /// Memory of activations while `images` are run, input and output not counted.
    #[must_use]
    pub fn activation_bytes(&self, images: usize) -> usize {
        4 * self.values(images).unwrap_or(usize::MAX / 4)
    }

    /// Memory of weights in the form that the kernels read.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let steps = self.segments.iter().flat_map(|segment| &segment.steps);
        steps.map(|step| step.kernel.weight_bytes()).sum()
    }

    /// Values of store and arena; `None` where they exceed the address space.
    pub(crate) fn values(&self, images: usize) -> Option<usize> {
        let arenas = self.segments.iter().map(|segment| {
            let group = images.div_ceil(images.div_ceil(segment.group).max(1));
            segment.arena.checked_mul(group)
        });
        let arena = arenas.max_by_key(|arena| arena.unwrap_or(usize::MAX))??;
        self.store.checked_mul(images)?.checked_add(arena)
    }
}

fn refuse(node: &str, why: &str) -> Unsupported {
    Unsupported {
        node: node.to_owned(),
        why: why.to_owned(),
    }
}

/// Of two operands that may change places, the one of the output's shape comes first: only the other is repeated.
fn full_operand_first(step: &mut Step, shapes: &Shapes) {
    let (Work::Binary(pair), [left, _]) = (&step.work, &step.inputs[..]) else {
        return;
    };
    if commutes(pair.operator) && shapes.get(*left) != shapes.get(step.output) {
        step.inputs.reverse();
    }
}

/// A target that is another name for the input has to be copied: the output is the caller's.
fn copy_to_target(lives: &mut [Life], input: ValueId, target: ValueId) {
    let mut root = target;
    for life in lives.iter().rev() {
        if life.view && life.writes == root {
            root = life.reads[0];
        }
    }
    if root == input {
        for life in lives.iter_mut().filter(|life| life.writes == target) {
            life.view = false;
        }
    }
}

/// Parts of a concatenation of channels that their makers can write where they belong.
fn absorb(program_steps: &[Step], kernels: &[Kernel], lives: &mut [Life], target: ValueId) {
    let reads = |value: ValueId| {
        let all = program_steps.iter().flat_map(|step| &step.inputs);
        all.filter(|read| **read == value).count()
    };
    for index in 0..program_steps.len() {
        // Convolutions and pooling write pixels with their channels last.
        if !matches!(kernels[index], Kernel::Concat { axis: 3, .. }) {
            continue;
        }
        for &value in &program_steps[index].inputs {
            let maker = program_steps.iter().position(|step| step.output == value);
            let able = maker.is_some_and(|maker| kernels[maker].writes_columns());
            if able && value != target && reads(value) == 1 {
                lives[index].absorbs.push(value);
            }
        }
    }
}

/// The columns that values have in the concatenations that absorb them.
fn written_columns(
    program_steps: &[Step],
    kernels: &[Kernel],
    lives: &[Life],
) -> HashMap<ValueId, Part> {
    let mut columns = HashMap::new();
    for ((step, kernel), life) in program_steps.iter().zip(kernels).zip(lives) {
        if let Kernel::Concat { parts, .. } = kernel {
            let all = step.inputs.iter().copied().zip(parts.iter().copied());
            columns.extend(all.filter(|(value, _)| life.absorbs.contains(value)));
        }
    }
    columns
}

/// Steps with the places of their operands, segment by segment.
fn segments(
    program_steps: Vec<Step>,
    kernels: Vec<Kernel>,
    lives: &[Life],
    layout: &Layout,
) -> Result<Vec<Segment>, Unsupported> {
    let mut columns = written_columns(&program_steps, &kernels, lives);
    let mut made = program_steps
        .into_iter()
        .zip(kernels)
        .zip(lives)
        .enumerate();
    let mut segments = Vec::with_capacity(layout.segments.len());
    for segment in &layout.segments {
        let mut steps = Vec::with_capacity(segment.steps.len());
        for (index, ((step, mut kernel), life)) in made.by_ref().take(segment.steps.len()) {
            if life.view {
                continue;
            }
            let absorbed = |value: &ValueId| life.absorbs.contains(value);
            if let Kernel::Concat { parts, .. } = &mut kernel {
                let left = parts.iter().zip(&step.inputs);
                *parts = left
                    .filter(|(_, value)| !absorbed(value))
                    .map(|(part, _)| *part)
                    .collect();
                if parts.is_empty() {
                    continue;
                }
            }
            let place = |value: ValueId| {
                layout
                    .place(value)
                    .ok_or_else(|| refuse(&step.name, "an operand has no place"))
            };
            let reads = step.inputs.iter().filter(|value| !absorbed(value));
            steps.push(Call {
                reads: reads.map(|value| place(*value)).collect::<Result<_, _>>()?,
                writes: place(step.output)?,
                in_place: layout.in_place[index],
                columns: columns.remove(&step.output),
                name: step.name,
                kernel,
            });
        }
        segments.push(Segment {
            steps,
            group: segment.group,
            arena: segment.arena,
        });
    }
    Ok(segments)
}
