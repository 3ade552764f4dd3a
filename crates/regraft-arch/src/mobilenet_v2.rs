//! MobileNet v2 (Sandler et al. 2018): inverted residuals with linear bottlenecks.

use crate::blueprint::{Blueprint, Conv, Misfit, Value, Window};

/// A row of the paper's table 2: expansion, channels, repeats, stride of the first.
type Row = (usize, usize, usize, usize);

const BLOCKS: [Row; 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

const POINTWISE: Window = Window::square(1, 1, 0);

pub(crate) fn draw(net: &mut Blueprint) -> Result<(), Misfit> {
    let small = net.cifar_stem();
    let input = net.input();
    let first = Conv::new(
        net.scaled(32),
        Window::square(3, if small { 1 } else { 2 }, 1),
    );
    let mut x = layer(net, "features.0", &input, first)?;
    let mut paths = (1..).map(|index| format!("features.{index}"));
    let mut path = || paths.next().unwrap_or_default();
    for (row, (expansion, channels, repeats, stride)) in BLOCKS.into_iter().enumerate() {
        // The second place that shrinks the image, after the first layer.
        let kept = small && row == 1;
        for index in 0..repeats {
            let stride = if index == 0 && !kept { stride } else { 1 };
            let outputs = net.scaled(channels);
            x = inverted_residual(net, &path(), &x, expansion, outputs, stride)?;
        }
    }
    // The last layer keeps its width in slim networks (section 6.1).
    let last = Conv::new(net.scaled_up(1280), POINTWISE);
    x = layer(net, &path(), &x, last)?;
    let features = net.global_average(&x);
    net.classifier("classifier.1", &features);
    Ok(())
}

fn inverted_residual(
    net: &mut Blueprint,
    path: &str,
    x: &Value,
    expansion: usize,
    outputs: usize,
    stride: usize,
) -> Result<Value, Misfit> {
    let hidden = expansion * x.channels;
    let mut steps = (0..).map(|index| format!("{path}.conv.{index}"));
    let mut step = || steps.next().unwrap_or_default();
    let mut branch = x.clone();
    if expansion != 1 {
        branch = layer(net, &step(), &branch, Conv::new(hidden, POINTWISE))?;
    }
    let depthwise = Conv {
        depthwise: true,
        ..Conv::new(hidden, Window::square(3, stride, 1))
    };
    branch = layer(net, &step(), &branch, depthwise)?;
    branch = net.conv(&step(), &branch, Conv::new(outputs, POINTWISE))?;
    branch = net.batch_norm(&step(), &branch, 1.0);
    if stride == 1 && x.channels == outputs {
        branch = net.add(path, x, &branch);
    }
    Ok(branch)
}

/// Convolution, batch norm, ReLU6.
fn layer(net: &mut Blueprint, path: &str, x: &Value, conv: Conv) -> Result<Value, Misfit> {
    let x = net.conv(&format!("{path}.0"), x, conv)?;
    let x = net.batch_norm(&format!("{path}.1"), &x, 1.0);
    Ok(net.relu6(&format!("{path}.2"), &x))
}
