//! Which values share memory, where it lies, and how many images go through a segment of the network together.

use std::ops::Range;

use regraft_onnx::ValueId;

use crate::memory::{Place, Region};

/// Most bytes that a group of images may need at once, so that what a step writes is still in the cache for the next.
pub(crate) const WORKING_SET: usize = 32 << 20;
/// Most values of pooled features, for one image.
const POOLED: usize = 8192;
/// Offsets are multiples of a cache line's values.
const LINE: usize = 16;

/// A step as the planner sees it.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    /// Values it reads.
    pub reads: Vec<ValueId>,
    pub writes: ValueId,
    /// Whether it can write over its first operand.
    pub in_place: bool,
    /// Only another name for its operand.
    pub view: bool,
    /// Operands that write into its output themselves.
    pub absorbs: Vec<ValueId>,
}

/// What the planner has to know of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Values of one image.
    pub len: usize,
    /// Whether an image's values lie together.
    pub image_by_image: bool,
}

/// A value's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Home {
    pub buffer: usize,
    /// Values of an image.
    pub len: usize,
}

/// Memory that one or several values have in turn.
#[derive(Debug, Clone)]
struct Buffer {
    len: usize,
    /// The first step that writes and the last that reads.
    life: Range<usize>,
    region: Region,
    base: usize,
    image_by_image: bool,
}

/// A segment of steps and how many images go through it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub steps: Range<usize>,
    pub group: usize,
    /// Values of the arena for one image.
    pub arena: usize,
}

/// The outcome.
#[derive(Debug)]
pub(crate) struct Layout {
    homes: Vec<Option<Home>>,
    buffers: Vec<Buffer>,
    /// Whether a step writes over its first operand.
    pub in_place: Vec<bool>,
    pub segments: Vec<Segment>,
    /// Values of the store for one image.
    pub store: usize,
}

impl Layout {
    pub fn place(&self, value: ValueId) -> Option<Place> {
        let home = self.homes[value.index()]?;
        let buffer = &self.buffers[home.buffer];
        Some(Place {
            region: buffer.region,
            base: buffer.base,
            len: home.len,
        })
    }
}

/// Plans memory for steps in order; `sizes` are those of all values, `None` for values that no step touches.
pub(crate) fn plan(
    lives: &[Life],
    sizes: &[Option<Size>],
    input: ValueId,
    target: ValueId,
    working_set: usize,
) -> Option<Layout> {
    let mut layout = share(lives, sizes, input, target)?;
    layout.segments = segments(&layout, lives, working_set);
    settle(&mut layout);
    Some(layout)
}

/// Gives every value a buffer.
fn share(
    lives: &[Life],
    sizes: &[Option<Size>],
    input: ValueId,
    target: ValueId,
) -> Option<Layout> {
    let size = |value: ValueId| *sizes.get(value.index())?;
    let mut last = vec![0; sizes.len()];
    for (step, life) in lives.iter().enumerate() {
        for read in &life.reads {
            last[read.index()] = step;
        }
    }
    last[target.index()] = lives.len();
    let mut layout = Layout {
        homes: vec![None; sizes.len()],
        buffers: Vec::new(),
        in_place: vec![false; lives.len()],
        segments: Vec::new(),
        store: 0,
    };
    layout.open(input, size(input)?, 0);
    // Latest first, so that the whole has a home before its parts.
    for (step, life) in lives.iter().enumerate().rev() {
        if life.absorbs.is_empty() {
            continue;
        }
        if layout.homes[life.writes.index()].is_none() {
            layout.open(life.writes, size(life.writes)?, step);
        }
        let whole = layout.homes[life.writes.index()]?;
        for part in &life.absorbs {
            layout.homes[part.index()] = Some(whole);
        }
    }
    for (step, life) in lives.iter().enumerate() {
        for read in &life.reads {
            let buffer = layout.homes[read.index()]?.buffer;
            let life = &mut layout.buffers[buffer].life;
            life.end = life.end.max(step + 1);
        }
        let output = size(life.writes)?;
        let first = life
            .reads
            .first()
            .and_then(|first| layout.homes[first.index()]);
        match (layout.homes[life.writes.index()], first) {
            (Some(home), _) => {
                let life = &mut layout.buffers[home.buffer].life;
                *life = life.start.min(step)..life.end.max(step + 1);
            }
            (None, Some(home)) if life.view => layout.homes[life.writes.index()] = Some(home),
            (None, Some(home))
                if life.in_place && layout.may_overwrite(home, life, step, &last) =>
            {
                layout.in_place[step] = true;
                layout.homes[life.writes.index()] = Some(home);
            }
            _ => layout.open(life.writes, output, step),
        }
        let home = layout.homes[life.writes.index()]?;
        let buffer = &mut layout.buffers[home.buffer];
        buffer.image_by_image &= output.image_by_image;
        // Until the last reader of any of its names.
        let until = (last[life.writes.index()] + 1).min(lives.len());
        buffer.life.end = buffer.life.end.max(until);
    }
    let output = layout.homes[target.index()]?.buffer;
    layout.buffers[output].region = Region::Output;
    layout.buffers[layout.homes[input.index()]?.buffer].region = Region::Input;
    Some(layout)
}

impl Layout {
    fn open(&mut self, value: ValueId, size: Size, step: usize) {
        self.homes[value.index()] = Some(Home {
            buffer: self.buffers.len(),
            len: size.len,
        });
        self.buffers.push(Buffer {
            len: size.len,
            life: step..step + 1,
            region: Region::Arena,
            base: 0,
            image_by_image: size.image_by_image,
        });
    }

    /// Whether nobody needs the first operand of a step after it, under any of its names.
    fn may_overwrite(&self, home: Home, life: &Life, step: usize, last: &[usize]) -> bool {
        let buffer = &self.buffers[home.buffer];
        let mut names = (0..self.homes.len())
            .filter(|&value| self.homes[value].is_some_and(|other| other.buffer == home.buffer));
        let elsewhere = life.reads[1..]
            .iter()
            .all(|read| self.homes[read.index()].is_some_and(|other| other.buffer != home.buffer));
        // The first buffer is the input, which is the caller's.
        home.buffer != 0
            && home.len == buffer.len
            && elsewhere
            && names.all(|value| last[value] <= step)
    }
}

/// Cuts the steps where a single buffer goes on, and puts segments that take as many images together.
fn segments(layout: &Layout, lives: &[Life], working_set: usize) -> Vec<Segment> {
    let inner = |buffer: &&Buffer| buffer.region == Region::Arena;
    let mut segments: Vec<Segment> = Vec::new();
    let mut begin = 0;
    let mut need = 0;
    for step in 0..lives.len() {
        let alive = layout
            .buffers
            .iter()
            .filter(|buffer| buffer.life.contains(&step));
        need = need.max(alive.map(|buffer| 4 * buffer.len).sum::<usize>());
        let mut crossing = layout
            .buffers
            .iter()
            .filter(|buffer| buffer.life.start <= step && buffer.life.end > step + 1);
        // Pooled features that wait for the last step cost next to nothing to keep for all images.
        let waits = |buffer: &&Buffer| buffer.len <= POOLED && buffer.life.end == lives.len();
        let moves_on = |buffer: &&Buffer| inner(buffer) && !waits(buffer);
        let one = crossing.clone().filter(moves_on).count() <= 1;
        let cut = one && crossing.all(|buffer| buffer.image_by_image);
        if !cut && step + 1 < lives.len() {
            continue;
        }
        let fitting = (working_set / need.max(1)).max(1);
        // Powers of two, so that neighbours agree.
        let group = 1 << fitting.ilog2();
        match segments.last_mut() {
            Some(last) if last.group == group => last.steps.end = step + 1,
            _ => segments.push(Segment {
                steps: begin..step + 1,
                group,
                arena: 0,
            }),
        }
        begin = step + 1;
        need = 0;
    }
    segments
}

/// Gives every buffer its place in the store or the arena of its segment.
fn settle(layout: &mut Layout) {
    let segment_of = |step: usize| {
        layout
            .segments
            .iter()
            .position(|segment| segment.steps.contains(&step))
            .unwrap_or(0)
    };
    let spans: Vec<Range<usize>> = layout
        .buffers
        .iter()
        .map(|buffer| segment_of(buffer.life.start)..segment_of(buffer.life.end - 1) + 1)
        .collect();
    for (buffer, span) in layout.buffers.iter_mut().zip(&spans) {
        if buffer.region == Region::Arena && span.len() > 1 {
            buffer.region = Region::Store;
        }
    }
    let chosen = |layout: &Layout, region: Region, keep: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..layout.buffers.len())
            .filter(|&i| layout.buffers[i].region == region && keep(i))
            .collect()
    };
    let stored = chosen(layout, Region::Store, &|_| true);
    layout.store = pack(&mut layout.buffers, &stored, |i, _| spans[i].clone());
    for index in 0..layout.segments.len() {
        let own = chosen(layout, Region::Arena, &|i| spans[i].start == index);
        let arena = pack(&mut layout.buffers, &own, |_, buffer| buffer.life.clone());
        layout.segments[index].arena = arena;
    }
}

/// Places buffers, the largest first, each as low as those alive at the same time allow; returns how far they reach.
fn pack(
    buffers: &mut [Buffer],
    chosen: &[usize],
    life: impl Fn(usize, &Buffer) -> Range<usize>,
) -> usize {
    let mut order = chosen.to_vec();
    order.sort_by_key(|&i| (std::cmp::Reverse(buffers[i].len), i));
    let mut placed: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    let mut reach = 0;
    for i in order {
        let (len, life) = (buffers[i].len, life(i, &buffers[i]));
        let mut busy: Vec<&Range<usize>> = placed
            .iter()
            .filter(|(other, _)| other.start < life.end && life.start < other.end)
            .map(|(_, range)| range)
            .collect();
        busy.sort_by_key(|range| range.start);
        let mut base: usize = 0;
        for range in busy {
            if base + len <= range.start {
                break;
            }
            base = base.max(range.end.next_multiple_of(LINE));
        }
        buffers[i].base = base;
        reach = reach.max((base + len).next_multiple_of(LINE));
        placed.push((life, base..base + len));
    }
    reach
}
