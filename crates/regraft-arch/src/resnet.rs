//! Residual networks, post-activation (He et al. 2016a) and pre-activation (He et al. 2016b).
//!
//! Bottlenecks stride in their 3 x 3 convolution, as torchvision's do, not in the first as the paper's.

use crate::blueprint::{Blueprint, Conv, Misfit, Value, Window};

/// A depth of the family.
pub(crate) struct Depth {
    unit: Unit,
    /// Units in each of the four stages.
    stages: [usize; 4],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Two 3 x 3 convolutions.
    Basic,
    /// 1 x 1, 3 x 3 and 1 x 1, the last with four times the channels.
    Bottleneck,
}

pub(crate) const R18: Depth = Depth {
    unit: Unit::Basic,
    stages: [2, 2, 2, 2],
};
pub(crate) const R34: Depth = Depth {
    unit: Unit::Basic,
    stages: [3, 4, 6, 3],
};
pub(crate) const R50: Depth = Depth {
    unit: Unit::Bottleneck,
    stages: [3, 4, 6, 3],
};

const STAGE_CHANNELS: [usize; 4] = [64, 128, 256, 512];

impl Unit {
    /// The branch's convolutions.
    fn convolutions(self, planes: usize, stride: usize) -> Vec<Conv> {
        let pointwise = Window::square(1, 1, 0);
        let first = Window::square(3, stride, 1);
        match self {
            Unit::Basic => vec![
                Conv::new(planes, first),
                Conv::new(planes, Window::square(3, 1, 1)),
            ],
            Unit::Bottleneck => vec![
                Conv::new(planes, pointwise),
                Conv::new(planes, first),
                Conv::new(4 * planes, pointwise),
            ],
        }
    }
}

/// ReLU after the addition. The last batch norm of each branch starts at scale 0, so that each unit starts as the identity
/// (Goyal et al. 2017).
pub(crate) fn post(net: &mut Blueprint, depth: &Depth) -> Result<(), Misfit> {
    let mut x = stem(net)?;
    for unit in units(net, depth) {
        x = post_unit(net, &unit, &x)?;
    }
    end(net, &x);
    Ok(())
}

/// Batch norm and ReLU before each convolution. The first unit's are the stem's, before the paths part; the last unit has
/// one more of each after the addition. No scale starts at 0: it would be a ReLU's only input, and stay there.
pub(crate) fn pre(net: &mut Blueprint, depth: &Depth) -> Result<(), Misfit> {
    let mut x = stem(net)?;
    for (index, unit) in units(net, depth).iter().enumerate() {
        x = pre_unit(net, unit, &x, index == 0)?;
    }
    let normalised = net.batch_norm("bn_final", &x, 1.0);
    let activated = net.relu("relu_final", &normalised);
    end(net, &activated);
    Ok(())
}

/// A unit's place, and its branch.
struct Place {
    path: String,
    stride: usize,
    convolutions: Vec<Conv>,
}

fn units(net: &Blueprint, depth: &Depth) -> Vec<Place> {
    let mut units = Vec::new();
    for (stage, (&count, channels)) in depth.stages.iter().zip(STAGE_CHANNELS).enumerate() {
        for index in 0..count {
            let stride = if index == 0 && stage > 0 { 2 } else { 1 };
            units.push(Place {
                path: format!("layer{}.{index}", stage + 1),
                stride,
                convolutions: depth.unit.convolutions(net.scaled(channels), stride),
            });
        }
    }
    units
}

fn stem(net: &mut Blueprint) -> Result<Value, Misfit> {
    let (channels, input) = (net.scaled(64), net.input());
    let window = if net.cifar_stem() {
        Window::square(3, 1, 1)
    } else {
        Window::square(7, 2, 3)
    };
    let x = net.conv("conv1", &input, Conv::new(channels, window))?;
    let x = net.batch_norm("bn1", &x, 1.0);
    let x = net.relu("relu", &x);
    if net.cifar_stem() {
        return Ok(x);
    }
    net.max_pool("maxpool", &x, Window::square(3, 2, 1))
}

fn end(net: &mut Blueprint, x: &Value) {
    let features = net.global_average(x);
    net.classifier("fc", &features);
}

fn post_unit(net: &mut Blueprint, place: &Place, x: &Value) -> Result<Value, Misfit> {
    let path = &place.path;
    let mut branch = x.clone();
    let count = place.convolutions.len();
    for (number, conv) in (1..).zip(&place.convolutions) {
        branch = net.conv(&format!("{path}.conv{number}"), &branch, *conv)?;
        let scale = if number == count { 0.0 } else { 1.0 };
        branch = net.batch_norm(&format!("{path}.bn{number}"), &branch, scale);
        if number < count {
            branch = net.relu(&format!("{path}.relu{number}"), &branch);
        }
    }
    let shortcut = match projection(place, x, &branch) {
        Some(conv) => {
            let projected = net.conv(&format!("{path}.downsample.0"), x, conv)?;
            net.batch_norm(&format!("{path}.downsample.1"), &projected, 1.0)
        }
        None => x.clone(),
    };
    let sum = net.add(path, &branch, &shortcut);
    Ok(net.relu(&format!("{path}.relu{count}"), &sum))
}

/// `first`: the unit's input is activated already.
fn pre_unit(net: &mut Blueprint, place: &Place, x: &Value, first: bool) -> Result<Value, Misfit> {
    let path = &place.path;
    let mut branch = x.clone();
    let mut activated = x.clone();
    for (number, conv) in (1..).zip(&place.convolutions) {
        if !(first && number == 1) {
            branch = net.batch_norm(&format!("{path}.bn{number}"), &branch, 1.0);
            branch = net.relu(&format!("{path}.relu{number}"), &branch);
        }
        if number == 1 {
            activated = branch.clone();
        }
        branch = net.conv(&format!("{path}.conv{number}"), &branch, *conv)?;
    }
    let shortcut = match projection(place, x, &branch) {
        Some(conv) => net.conv(&format!("{path}.downsample.0"), &activated, conv)?,
        None => x.clone(),
    };
    Ok(net.add(path, &branch, &shortcut))
}

/// The shortcut's convolution, where a unit changes the shape.
fn projection(place: &Place, x: &Value, branch: &Value) -> Option<Conv> {
    let changes = place.stride != 1 || x.channels != branch.channels;
    changes.then(|| Conv::new(branch.channels, Window::square(1, place.stride, 0)))
}
