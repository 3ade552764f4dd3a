//! VGG (Simonyan and Zisserman 2015), with and without batch normalisation.

use crate::blueprint::{Blueprint, Conv, Misfit, Window};

/// Channels of the convolutions, stage by stage; a stage ends with max pooling. The letters are the paper's.
type Stages = &'static [&'static [usize]];

pub(crate) const A: Stages = &[&[64], &[128], &[256; 2], &[512; 2], &[512; 2]];
pub(crate) const B: Stages = &[&[64; 2], &[128; 2], &[256; 2], &[512; 2], &[512; 2]];
pub(crate) const D: Stages = &[&[64; 2], &[128; 2], &[256; 3], &[512; 3], &[512; 3]];
pub(crate) const E: Stages = &[&[64; 2], &[128; 2], &[256; 4], &[512; 4], &[512; 4]];

/// Pixels a side that the classifier sees, unless the image is too small for them.
const POOLED: usize = 7;
/// Units of each hidden layer of the classifier.
const HIDDEN: usize = 4096;

pub(crate) fn plain(net: &mut Blueprint, stages: Stages) -> Result<(), Misfit> {
    draw(net, stages, false)
}

pub(crate) fn normalised(net: &mut Blueprint, stages: Stages) -> Result<(), Misfit> {
    draw(net, stages, true)
}

fn draw(net: &mut Blueprint, stages: Stages, batch_norm: bool) -> Result<(), Misfit> {
    let mut x = net.input();
    // Layers are numbered as in a list, activations and pools too.
    let mut paths = (0..).map(|index| format!("features.{index}"));
    let mut path = || paths.next().unwrap_or_default();
    for stage in stages {
        for &channels in *stage {
            let conv = Conv {
                bias: true,
                ..Conv::new(net.scaled(channels), Window::square(3, 1, 1))
            };
            x = net.conv(&path(), &x, conv)?;
            if batch_norm {
                x = net.batch_norm(&path(), &x, 1.0);
            }
            x = net.relu(&path(), &x);
        }
        x = net.max_pool(&path(), &x, Window::square(2, 2, 0))?;
    }
    // Windows of one size that overlap where the side is no multiple of 7; smaller images go in as they are.
    if x.side > POOLED {
        let stride = x.side / POOLED;
        let kernel = x.side - (POOLED - 1) * stride;
        x = net.average_pool("avgpool", &x, Window::square(kernel, stride, 0))?;
    }
    x = net.flatten(&x);
    let hidden = net.scaled(HIDDEN);
    for layer in [0, 3] {
        x = net.hidden(&format!("classifier.{layer}"), &x, hidden);
        x = net.relu(&format!("classifier.{}", layer + 1), &x);
    }
    net.classifier("classifier.6", &x);
    Ok(())
}
