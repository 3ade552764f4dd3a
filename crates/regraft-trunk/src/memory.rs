//! Where values lie, and slices of them: one that is written and those that are read, without copies or unsafe code.

use std::ops::Range;

/// The memory that something lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Region {
    /// The caller's input: all images.
    Input,
    /// The caller's output: all images.
    Output,
    /// Values between segments: all images.
    Store,
    /// Values within a segment: the images of a group.
    Arena,
}

/// Where a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub region: Region,
    /// Of its buffer, for one image.
    pub base: usize,
    /// Values of an image.
    pub len: usize,
}

/// The images that are run together, of those that the caller gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// All the caller gave.
    pub batch: usize,
    /// The first of the group.
    pub first: usize,
    pub images: usize,
    /// Values of the store for one image.
    pub store: usize,
}

impl Group {
    /// The group's images at a place, in the slice of its region.
    fn range(&self, place: &Place) -> Range<usize> {
        let (base, first) = match place.region {
            Region::Input | Region::Output => (0, self.first),
            Region::Store => (place.base * self.batch, self.first),
            Region::Arena => (self.store * self.batch + place.base * self.images, 0),
        };
        let start = base + first * place.len;
        start..start + self.images * place.len
    }
}

/// All memory of a run.
pub(crate) struct Memory<'a> {
    pub input: &'a [f32],
    pub output: &'a mut [f32],
    /// Store and arena, one behind the other.
    pub values: &'a mut [f32],
}

/// A slice that somebody writes to, cut out of what lies before and behind it.
struct Cut<'a> {
    before: &'a [f32],
    behind: &'a [f32],
    /// Index of the first value behind.
    end: usize,
}

impl<'a> Cut<'a> {
    fn whole(values: &'a [f32]) -> Self {
        Self {
            before: values,
            behind: &[],
            end: values.len(),
        }
    }

    fn around(values: &'a mut [f32], range: Range<usize>) -> (&'a mut [f32], Self) {
        let (before, rest) = values.split_at_mut(range.start);
        let (written, behind) = rest.split_at_mut(range.len());
        let cut = Self {
            before,
            behind,
            end: range.end,
        };
        (written, cut)
    }

    /// What overlaps the written part is out of bounds: the planner never asks for it.
    fn get(&self, range: Range<usize>) -> &'a [f32] {
        if range.start < self.end {
            &self.before[range]
        } else {
            &self.behind[range.start - self.end..range.end - self.end]
        }
    }
}

/// The operands of a step.
pub(crate) struct Reads<'a> {
    input: &'a [f32],
    output: Cut<'a>,
    values: Cut<'a>,
    places: &'a [Place],
    group: Group,
}

impl<'a> Reads<'a> {
    /// An operand by its position.
    pub fn get(&self, index: usize) -> &'a [f32] {
        let place = &self.places[index];
        let range = self.group.range(place);
        match place.region {
            Region::Input => &self.input[range],
            Region::Output => self.output.get(range),
            Region::Store | Region::Arena => self.values.get(range),
        }
    }
}

impl Memory<'_> {
    /// The slice that a step writes and the operands it reads, for a group's images.
    pub fn slices<'a>(
        &'a mut self,
        group: Group,
        places: &'a [Place],
        output: &Place,
    ) -> (&'a mut [f32], Reads<'a>) {
        let range = group.range(output);
        let (written, output, values) = if output.region == Region::Output {
            let (written, cut) = Cut::around(self.output, range);
            (written, cut, Cut::whole(self.values))
        } else {
            let (written, cut) = Cut::around(self.values, range);
            (written, Cut::whole(self.output), cut)
        };
        let reads = Reads {
            input: self.input,
            output,
            values,
            places,
            group,
        };
        (written, reads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_reads_on_both_sides_of_what_it_writes() {
        let place = |base| Place {
            region: Region::Arena,
            base,
            len: 2,
        };
        let group = Group {
            batch: 2,
            first: 0,
            images: 2,
            store: 0,
        };
        let mut values: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let mut memory = Memory {
            input: &[],
            output: &mut [],
            values: &mut values,
        };
        let places = [place(0), place(4)];
        let (written, reads) = memory.slices(group, &places, &place(2));
        assert_eq!(written, [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(reads.get(0), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(reads.get(1), [8.0, 9.0, 10.0, 11.0]);
    }
}
