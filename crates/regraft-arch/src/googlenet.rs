//! GoogLeNet, Inception v1 (Szegedy et al. 2015), with batch normalisation and without auxiliary classifiers.
//!
//! As in torchvision the third branch convolves 3 x 3 where the paper has 5 x 5: weights fit both ways.

use crate::blueprint::{Blueprint, Conv, Misfit, Value, Window};
use crate::initial::Fan;

/// Epsilon of batch norm in torchvision's Inceptions.
pub(crate) const EPSILON: f32 = 1e-3;

/// An inception module: 1 x 1; 3 x 3 reduced, 3 x 3; 5 x 5 reduced, 5 x 5; pool projection.
struct Module(&'static str, [usize; 6]);

/// Stages, each after a max pooling.
const STAGES: [&[Module]; 3] = [
    &[
        Module("inception3a", [64, 96, 128, 16, 32, 32]),
        Module("inception3b", [128, 128, 192, 32, 96, 64]),
    ],
    &[
        Module("inception4a", [192, 96, 208, 16, 48, 64]),
        Module("inception4b", [160, 112, 224, 24, 64, 64]),
        Module("inception4c", [128, 128, 256, 24, 64, 64]),
        Module("inception4d", [112, 144, 288, 32, 64, 64]),
        Module("inception4e", [256, 160, 320, 32, 128, 128]),
    ],
    &[
        Module("inception5a", [256, 160, 320, 32, 128, 128]),
        Module("inception5b", [384, 192, 384, 48, 128, 128]),
    ],
];

const POINTWISE: Window = Window::square(1, 1, 0);
const THREE: Window = Window::square(3, 1, 1);

pub(crate) fn draw(net: &mut Blueprint) -> Result<(), Misfit> {
    net.set(EPSILON, Fan::In);
    let halving = Window::square(3, 2, 0).ceil();
    let mut x = net.input();
    if net.cifar_stem() {
        x = basic(net, "conv1", &x, 64, THREE)?;
    } else {
        x = basic(net, "conv1", &x, 64, Window::square(7, 2, 3))?;
        x = net.max_pool("maxpool1", &x, halving)?;
    }
    x = basic(net, "conv2", &x, 64, POINTWISE)?;
    x = basic(net, "conv3", &x, 192, THREE)?;
    let pools = [halving, halving, Window::square(2, 2, 0).ceil()];
    for ((modules, pool), number) in STAGES.iter().zip(pools).zip(2..) {
        x = net.max_pool(&format!("maxpool{number}"), &x, pool)?;
        for module in *modules {
            x = inception(net, module, &x)?;
        }
    }
    let features = net.global_average(&x);
    net.classifier("fc", &features);
    Ok(())
}

fn inception(net: &mut Blueprint, module: &Module, x: &Value) -> Result<Value, Misfit> {
    let Module(name, [one, three_reduced, three, five_reduced, five, projection]) = *module;
    let path = |branch: &str| format!("{name}.{branch}");
    let branch1 = basic(net, &path("branch1"), x, one, POINTWISE)?;
    let reduced = basic(net, &path("branch2.0"), x, three_reduced, POINTWISE)?;
    let branch2 = basic(net, &path("branch2.1"), &reduced, three, THREE)?;
    let reduced = basic(net, &path("branch3.0"), x, five_reduced, POINTWISE)?;
    let branch3 = basic(net, &path("branch3.1"), &reduced, five, THREE)?;
    let pooled = net.max_pool(&path("branch4.0"), x, THREE)?;
    let branch4 = basic(net, &path("branch4.1"), &pooled, projection, POINTWISE)?;
    Ok(net.concat(name, &[branch1, branch2, branch3, branch4]))
}

/// Convolution, batch norm, ReLU; `outputs` at width 1.
pub(crate) fn basic(
    net: &mut Blueprint,
    path: &str,
    x: &Value,
    outputs: usize,
    window: Window,
) -> Result<Value, Misfit> {
    let conv = Conv::new(net.scaled(outputs), window);
    let x = net.conv(&format!("{path}.conv"), x, conv)?;
    let x = net.batch_norm(&format!("{path}.bn"), &x, 1.0);
    Ok(net.relu(&format!("{path}.relu"), &x))
}
