//! Resize and Upsample: of every entry of a resized axis, the entries it is made of (ONNX operators, Resize 10 to 19,
//! Upsample 7 to 9).

use onnx_ir::NodeProto;

use super::tensor::strides;
use super::{Budget, Call, Tensor};
use crate::error::Error;
use crate::proto::attributes::{Attributes, axis};
use crate::proto::nodes::{fault, unsupported};

/// Longest extent that an axis is resized to.
const LONGEST: usize = 1 << 16;
/// Most weights of an axis: a resized entry has one for every entry it is made of.
const MOST_WEIGHTS: usize = 1 << 26;

/// What a node is told about the size of its result.
pub(crate) enum Size {
    /// Factors of the extents.
    Scales(Vec<f32>),
    /// The extents themselves; of the batch anything.
    Extents(Vec<i64>),
}

/// An axis resized: each new entry as a sum of old ones.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    /// Which axis.
    pub along: usize,
    /// Old entries.
    pub from: usize,
    /// Of every new entry the old ones it is made of, and how much of each.
    pub entries: Vec<Vec<(usize, f32)>>,
}

impl Axis {
    /// The weights `[from, to]` of a product that resizes rows.
    pub fn matrix(&self) -> Vec<f32> {
        let to = self.entries.len();
        let mut matrix = vec![0.0; self.from * to];
        for (new, parts) in self.entries.iter().enumerate() {
            for &(old, weight) in parts {
                matrix[old * to + new] += weight;
            }
        }
        matrix
    }
}

/// The axes that the node changes. `extents` holds none where the batch is.
///
/// # Errors
/// When a mode is not known, or the sizes make no sense.
pub(crate) fn axes(
    node: &NodeProto,
    opset: i64,
    extents: &[Option<usize>],
    size: &Size,
) -> Result<Vec<Axis>, Error> {
    let attributes = Attributes(node);
    let rank = extents.len();
    let named: Vec<usize> = match attributes.ints("axes") {
        Some(axes) => axes
            .iter()
            .map(|&given| axis(node, given, rank))
            .collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    let policy = attributes.string("keep_aspect_ratio_policy");
    if policy.is_some_and(|policy| policy != "stretch") {
        return Err(unsupported(node, "keeps the ratio of its sides"));
    }
    let count = match size {
        Size::Scales(scales) => scales.len(),
        Size::Extents(extents) => extents.len(),
    };
    if count != named.len() {
        return Err(fault(
            node,
            format!("its sizes are {count}, its axes {}", named.len()),
        ));
    }
    let rules = Rules::of(node, opset)?;
    let mut changed = Vec::new();
    for (index, &along) in named.iter().enumerate() {
        let Some(from) = extents[along] else {
            // A batch has the extent that it has: exporters write that of the example.
            match size {
                Size::Scales(scales) if scales[index] != 1.0 => {
                    return Err(unsupported(node, "resizes the batch"));
                }
                _ => continue,
            }
        };
        let (to, scale) = match size {
            Size::Scales(scales) => {
                let scale = scales[index];
                ((from as f32 * scale).floor() as usize, scale)
            }
            Size::Extents(extents) => {
                let to = usize::try_from(extents[index]).unwrap_or(0);
                (to, to as f32 / from as f32)
            }
        };
        let weights = to.checked_mul(from);
        if to == 0 || to > LONGEST || weights.is_none_or(|weights| weights > MOST_WEIGHTS) {
            return Err(fault(node, format!("resizes an axis of {from} to {to}")));
        }
        if to == from && scale == 1.0 {
            continue;
        }
        let entries = (0..to).map(|at| rules.parts(at, from, to, scale)).collect();
        changed.push(Axis {
            along,
            from,
            entries,
        });
    }
    Ok(changed)
}

/// Where a new entry lies among the old ones.
#[derive(Clone, Copy)]
enum Places {
    HalfPixel,
    HalfPixelSymmetric,
    TorchHalfPixel,
    AlignCorners,
    Asymmetric,
    HalfPixelForNearest,
}

#[derive(Clone, Copy)]
enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
    /// Before opset 11: down where an axis grows, up where it shrinks.
    Simple,
}

#[derive(Clone, Copy)]
enum Mode {
    Nearest(Rounding),
    Linear,
    Cubic { a: f32 },
}

/// The node's attributes.
struct Rules {
    mode: Mode,
    places: Places,
    antialias: bool,
    exclude_outside: bool,
}

impl Rules {
    fn of(node: &NodeProto, opset: i64) -> Result<Self, Error> {
        let attributes = Attributes(node);
        let old = opset < 11;
        let text = |name: &str| attributes.string(name).unwrap_or_default();
        let places = match text("coordinate_transformation_mode").as_str() {
            "" if old => Places::Asymmetric,
            "" | "half_pixel" => Places::HalfPixel,
            "half_pixel_symmetric" => Places::HalfPixelSymmetric,
            "pytorch_half_pixel" => Places::TorchHalfPixel,
            "align_corners" => Places::AlignCorners,
            "asymmetric" => Places::Asymmetric,
            "tf_half_pixel_for_nn" => Places::HalfPixelForNearest,
            other => return Err(unsupported(node, format!("coordinates by `{other}`"))),
        };
        let mode = match text("mode").as_str() {
            "" | "nearest" => Mode::Nearest(match text("nearest_mode").as_str() {
                "" if old => Rounding::Simple,
                "" | "round_prefer_floor" => Rounding::PreferFloor,
                "round_prefer_ceil" => Rounding::PreferCeil,
                "floor" => Rounding::Floor,
                "ceil" => Rounding::Ceil,
                other => return Err(unsupported(node, format!("rounding by `{other}`"))),
            }),
            "linear" | "bilinear" => Mode::Linear,
            "cubic" => Mode::Cubic {
                a: attributes.float("cubic_coeff_a").unwrap_or(-0.75),
            },
            other => return Err(unsupported(node, format!("resizing by `{other}`"))),
        };
        let is_set = |name: &str| attributes.int(name).unwrap_or(0) != 0;
        Ok(Self {
            mode,
            places,
            antialias: is_set("antialias"),
            exclude_outside: is_set("exclude_outside"),
        })
    }

    /// Where new entry `at` lies among the old ones.
    fn place(&self, at: usize, from: usize, to: usize, scale: f32) -> f32 {
        let (new, old) = (at as f32, from as f32);
        let half = (new + 0.5) / scale - 0.5;
        match self.places {
            Places::HalfPixel => half,
            Places::HalfPixelSymmetric => {
                let adjusted = to as f32 / (old * scale);
                old / 2.0 * (1.0 - adjusted) + half
            }
            Places::TorchHalfPixel if to == 1 => 0.0,
            Places::TorchHalfPixel => half,
            Places::AlignCorners if to == 1 => 0.0,
            Places::AlignCorners => new * (old - 1.0) / (to as f32 - 1.0),
            Places::Asymmetric => new / scale,
            Places::HalfPixelForNearest => (new + 0.5) / scale,
        }
    }

    /// The old entries that new entry `at` is made of.
    fn parts(&self, at: usize, from: usize, to: usize, scale: f32) -> Vec<(usize, f32)> {
        let place = self.place(at, from, to, scale);
        let last = from - 1;
        let clamped = |old: f32| old.clamp(0.0, last as f32) as usize;
        match self.mode {
            Mode::Nearest(rounding) => {
                let old = match rounding {
                    Rounding::PreferFloor => (place - 0.5).ceil(),
                    Rounding::PreferCeil => (place + 0.5).floor(),
                    Rounding::Floor => place.floor(),
                    Rounding::Ceil => place.ceil(),
                    Rounding::Simple if scale < 1.0 => place.ceil(),
                    Rounding::Simple => place.trunc(),
                };
                vec![(clamped(old), 1.0)]
            }
            Mode::Linear if self.antialias && scale < 1.0 => {
                filtered(place, from, scale, 1.0, self.exclude_outside, |x| {
                    (1.0 - x.abs()).max(0.0)
                })
            }
            Mode::Cubic { a } if self.antialias && scale < 1.0 => {
                filtered(place, from, scale, 2.0, self.exclude_outside, |x| {
                    cubic(x, a)
                })
            }
            Mode::Linear => {
                let place = place.clamp(0.0, last as f32);
                let first = place.floor();
                let share = place - first;
                let first = clamped(first);
                if share == 0.0 {
                    return vec![(first, 1.0)];
                }
                vec![(first, 1.0 - share), ((first + 1).min(last), share)]
            }
            Mode::Cubic { a } => {
                let first = place.floor();
                let mut parts: Vec<(f32, f32)> = (-1..=2)
                    .map(|step| first + step as f32)
                    .map(|old| (old, cubic(place - old, a)))
                    .collect();
                if self.exclude_outside {
                    parts.retain(|&(old, _)| (0.0..=last as f32).contains(&old));
                    let sum: f32 = parts.iter().map(|&(_, weight)| weight).sum();
                    parts.iter_mut().for_each(|(_, weight)| *weight /= sum);
                }
                let parts = parts.into_iter();
                parts.map(|(old, weight)| (clamped(old), weight)).collect()
            }
        }
    }
}

/// A filter as wide as a shrinking axis wants it. What lies outside counts as the entry at the edge, or not at all.
fn filtered(
    place: f32,
    from: usize,
    scale: f32,
    reach: f32,
    exclude_outside: bool,
    filter: impl Fn(f32) -> f32,
) -> Vec<(usize, f32)> {
    let reach = reach / scale;
    let last = from as i64 - 1;
    let (mut first, mut end) = (
        (place - reach).ceil() as i64,
        (place + reach).floor() as i64,
    );
    if exclude_outside {
        (first, end) = (first.max(0), end.min(last));
    }
    let parts: Vec<(i64, f32)> = (first..=end)
        .map(|old| (old, filter((old as f32 - place) * scale)))
        .filter(|&(_, weight)| weight != 0.0)
        .collect();
    let sum: f32 = parts.iter().map(|&(_, weight)| weight).sum();
    parts
        .into_iter()
        .map(|(old, weight)| (old.clamp(0, last) as usize, weight / sum))
        .collect()
}

/// Cubic convolution (Keys 1981) at a distance.
fn cubic(distance: f32, a: f32) -> f32 {
    let x = distance.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// Which operand holds scales, and which sizes: `(scales, sizes)`.
pub(crate) fn operands(node: &NodeProto, opset: i64) -> (usize, Option<usize>) {
    match node.op_type.as_str() {
        "Resize" if opset >= 11 => (2, Some(3)),
        _ => (1, None),
    }
}

/// Resize of a constant: a table of positions, mostly.
pub(super) fn resize(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    let (scales, sizes) = operands(call.node, call.opset);
    let sizes = sizes.and_then(|sizes| call.optional(sizes));
    let size = match (sizes, call.optional(scales)) {
        (Some(sizes), _) => Size::Extents(sizes.to_numbers(call.node)?),
        (None, Some(scales)) => Size::Scales(scales.to_floats(call.node)?),
        (None, None) => match Attributes(call.node).floats("scales") {
            Some(scales) => Size::Scales(scales.to_vec()),
            None => return Err(call.fault("its sizes are missing")),
        },
    };
    let extents: Vec<Option<usize>> = operand.shape.iter().map(|&extent| Some(extent)).collect();
    let mut shape = operand.shape.clone();
    let mut values = operand.to_floats(call.node)?;
    for axis in axes(call.node, call.opset, &extents, &size)? {
        let step = strides(&shape)[axis.along];
        shape[axis.along] = axis.entries.len();
        budget.spend_shape(call.node, &shape)?;
        let mut resized = Vec::with_capacity(shape.iter().product());
        for row in values.chunks(axis.from * step) {
            for parts in &axis.entries {
                for place in 0..step {
                    let part = |&(old, weight): &(usize, f32)| row[old * step + place] * weight;
                    resized.push(parts.iter().map(part).sum());
                }
            }
        }
        values = resized;
    }
    Ok(vec![Tensor::floats(shape, values)])
}
