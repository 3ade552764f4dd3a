//! A plan's run: segment by segment, group by group, step by step, over memory that is used again.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::memory::{Group, Memory};
use crate::plan::{Call, Plan};

/// Values of a cache line, for the alignment of the memory.
const LINE: usize = 16;

/// Memory for activations: it grows to what the largest batch needs and is used again.
#[derive(Debug, Default)]
pub struct Buffers {
    values: Vec<f32>,
}

impl Buffers {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lend(&mut self, len: usize) -> &mut [f32] {
        if self.values.len() < len + LINE {
            // The old memory goes first: together they could be too much.
            self.values = Vec::new();
            self.values = vec![0.0; len + LINE];
        }
        let skip = self.values.as_ptr().align_offset(64).min(LINE);
        &mut self.values[skip..skip + len]
    }
}

/// What a step took, for finding where time goes.
#[derive(Debug, Clone)]
pub struct StepTime {
    /// The node's name in the file.
    pub name: String,
    /// What it computes.
    pub kind: &'static str,
    /// Most images at once.
    pub group: usize,
    /// Multiplications and additions for one image, each counted as one; 0 where there are hardly any.
    pub flops: f64,
    /// For all images.
    pub time: Duration,
}

impl Plan {
    /// Runs images, as many as the input holds: `[N, ...]` in the graph's own layout to `[N, ...]`.
    ///
    /// # Errors
    /// Where a slice does not fit the plan.
    pub fn run(
        &self,
        buffers: &mut Buffers,
        input: &[f32],
        output: &mut [f32],
    ) -> Result<(), Error> {
        self.execute(buffers, input, output, &mut |_, _| ())
    }

    /// The same, timed step by step.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn profile(
        &self,
        buffers: &mut Buffers,
        input: &[f32],
        output: &mut [f32],
    ) -> Result<Vec<StepTime>, Error> {
        let mut times: Vec<StepTime> = self
            .segments
            .iter()
            .flat_map(|segment| segment.steps.iter().map(|step| (segment.group, step)))
            .map(|(group, step)| StepTime {
                name: step.name.clone(),
                kind: step.kernel.kind(),
                group,
                flops: step.kernel.flops(step.writes.len),
                time: Duration::ZERO,
            })
            .collect();
        self.execute(buffers, input, output, &mut |step, time| {
            times[step].time += time
        })?;
        Ok(times)
    }

    fn execute(
        &self,
        buffers: &mut Buffers,
        input: &[f32],
        output: &mut [f32],
        watch: &mut (dyn FnMut(usize, Duration) + Send),
    ) -> Result<(), Error> {
        let batch = input.len() / self.input;
        if batch == 0 || !input.len().is_multiple_of(self.input) {
            return Err(Error::Input {
                image: self.input,
                found: input.len(),
            });
        }
        let too_large = Error::TooLarge { images: batch };
        let expected = batch.checked_mul(self.output).ok_or(too_large.clone())?;
        if output.len() != expected {
            return Err(Error::Output {
                expected,
                found: output.len(),
            });
        }
        if self.segments.is_empty() {
            output.copy_from_slice(input);
            return Ok(());
        }
        let values = self
            .values(batch)
            .filter(|values| *values < isize::MAX as usize / 8)
            .ok_or(too_large)?;
        let mut memory = Memory {
            input,
            output,
            values: buffers.lend(values),
        };
        // From within the pool kernels start their tasks without waking anybody for each.
        rayon::scope(|_| self.segment_by_segment(batch, &mut memory, watch))
    }

    fn segment_by_segment(
        &self,
        batch: usize,
        memory: &mut Memory<'_>,
        watch: &mut dyn FnMut(usize, Duration),
    ) -> Result<(), Error> {
        let mut before = 0;
        for segment in &self.segments {
            let groups = batch.div_ceil(segment.group);
            for index in 0..groups {
                // Groups differ by one image at most.
                let (first, end) = (index * batch / groups, (index + 1) * batch / groups);
                let group = Group {
                    batch,
                    first,
                    images: end - first,
                    store: self.store,
                };
                for (at, step) in segment.steps.iter().enumerate() {
                    let begin = Instant::now();
                    step.run(group, memory)?;
                    watch(before + at, begin.elapsed());
                }
            }
            before += segment.steps.len();
        }
        Ok(())
    }
}

impl Call {
    fn run(&self, group: Group, memory: &mut Memory<'_>) -> Result<(), Error> {
        let (output, reads) = memory.slices(group, &self.reads, &self.writes);
        self.kernel
            .run(group.images, &reads, self.in_place, self.columns, output)
            .map_err(|source| Error::Kernel {
                node: self.name.clone(),
                source,
            })
    }
}
