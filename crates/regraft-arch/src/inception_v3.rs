//! Inception v3 (Szegedy et al. 2016), without the auxiliary classifier.

use crate::blueprint::{Blueprint, Misfit, Value, Window};
use crate::googlenet::{EPSILON, basic};
use crate::initial::Fan;

const ONE: Window = Window::square(1, 1, 0);
const THREE: Window = Window::same(3, 3);
const FIVE: Window = Window::same(5, 5);
const WIDE: Window = Window::same(1, 7);
const HIGH: Window = Window::same(7, 1);
/// Three by three without padding, with stride 2.
const HALVING: Window = Window::square(3, 2, 0);

/// A convolution of a branch: its name, channels at width 1, and window.
type Step = (&'static str, usize, Window);

pub(crate) fn draw(net: &mut Blueprint) -> Result<(), Misfit> {
    net.set(EPSILON, Fan::In);
    let small = net.cifar_stem();
    let unpadded = Window::square(3, 1, 0);
    let mut x = net.input();
    let first = if small { unpadded } else { HALVING };
    x = basic(net, "Conv2d_1a_3x3", &x, 32, first)?;
    x = basic(net, "Conv2d_2a_3x3", &x, 32, unpadded)?;
    x = basic(net, "Conv2d_2b_3x3", &x, 64, THREE)?;
    if !small {
        x = net.max_pool("maxpool1", &x, HALVING)?;
    }
    x = basic(net, "Conv2d_3b_1x1", &x, 80, ONE)?;
    x = basic(net, "Conv2d_4a_3x3", &x, 192, unpadded)?;
    x = net.max_pool("maxpool2", &x, HALVING)?;
    for (name, projection) in [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)] {
        x = five_by_five(net, name, &x, projection)?;
    }
    x = first_reduction(net, "Mixed_6a", &x)?;
    for (name, inner) in [
        ("Mixed_6b", 128),
        ("Mixed_6c", 160),
        ("Mixed_6d", 160),
        ("Mixed_6e", 192),
    ] {
        x = seven_by_seven(net, name, &x, inner)?;
    }
    x = second_reduction(net, "Mixed_7a", &x)?;
    for name in ["Mixed_7b", "Mixed_7c"] {
        x = expanded(net, name, &x)?;
    }
    let features = net.global_average(&x);
    net.classifier("fc", &features);
    Ok(())
}

/// The paper's figure 5.
fn five_by_five(
    net: &mut Blueprint,
    name: &str,
    x: &Value,
    projection: usize,
) -> Result<Value, Misfit> {
    let branches = [
        chain(net, name, x, &[("branch1x1", 64, ONE)])?,
        chain(
            net,
            name,
            x,
            &[("branch5x5_1", 48, ONE), ("branch5x5_2", 64, FIVE)],
        )?,
        chain(
            net,
            name,
            x,
            &[
                ("branch3x3dbl_1", 64, ONE),
                ("branch3x3dbl_2", 96, THREE),
                ("branch3x3dbl_3", 96, THREE),
            ],
        )?,
        pooled(net, name, x, projection)?,
    ];
    Ok(net.concat(name, &branches))
}

/// The paper's figure 10, from 35 to 17 pixels a side.
fn first_reduction(net: &mut Blueprint, name: &str, x: &Value) -> Result<Value, Misfit> {
    let branches = [
        chain(net, name, x, &[("branch3x3", 384, HALVING)])?,
        chain(
            net,
            name,
            x,
            &[
                ("branch3x3dbl_1", 64, ONE),
                ("branch3x3dbl_2", 96, THREE),
                ("branch3x3dbl_3", 96, HALVING),
            ],
        )?,
        net.max_pool(&format!("{name}.maxpool"), x, HALVING)?,
    ];
    Ok(net.concat(name, &branches))
}

/// The paper's figure 6 with n = 7.
fn seven_by_seven(
    net: &mut Blueprint,
    name: &str,
    x: &Value,
    inner: usize,
) -> Result<Value, Misfit> {
    let branches = [
        chain(net, name, x, &[("branch1x1", 192, ONE)])?,
        chain(
            net,
            name,
            x,
            &[
                ("branch7x7_1", inner, ONE),
                ("branch7x7_2", inner, WIDE),
                ("branch7x7_3", 192, HIGH),
            ],
        )?,
        chain(
            net,
            name,
            x,
            &[
                ("branch7x7dbl_1", inner, ONE),
                ("branch7x7dbl_2", inner, HIGH),
                ("branch7x7dbl_3", inner, WIDE),
                ("branch7x7dbl_4", inner, HIGH),
                ("branch7x7dbl_5", 192, WIDE),
            ],
        )?,
        pooled(net, name, x, 192)?,
    ];
    Ok(net.concat(name, &branches))
}

/// From 17 to 8 pixels a side.
fn second_reduction(net: &mut Blueprint, name: &str, x: &Value) -> Result<Value, Misfit> {
    let branches = [
        chain(
            net,
            name,
            x,
            &[("branch3x3_1", 192, ONE), ("branch3x3_2", 320, HALVING)],
        )?,
        chain(
            net,
            name,
            x,
            &[
                ("branch7x7x3_1", 192, ONE),
                ("branch7x7x3_2", 192, WIDE),
                ("branch7x7x3_3", 192, HIGH),
                ("branch7x7x3_4", 192, HALVING),
            ],
        )?,
        net.max_pool(&format!("{name}.maxpool"), x, HALVING)?,
    ];
    Ok(net.concat(name, &branches))
}

/// The paper's figure 7: two branches part once more.
fn expanded(net: &mut Blueprint, name: &str, x: &Value) -> Result<Value, Misfit> {
    let (wide, high) = (Window::same(1, 3), Window::same(3, 1));
    let one = chain(net, name, x, &[("branch1x1", 320, ONE)])?;
    let stem = chain(net, name, x, &[("branch3x3_1", 384, ONE)])?;
    let parts = [
        chain(net, name, &stem, &[("branch3x3_2a", 384, wide)])?,
        chain(net, name, &stem, &[("branch3x3_2b", 384, high)])?,
    ];
    let three = net.concat(&format!("{name}.branch3x3"), &parts);
    let stem = chain(
        net,
        name,
        x,
        &[("branch3x3dbl_1", 448, ONE), ("branch3x3dbl_2", 384, THREE)],
    )?;
    let parts = [
        chain(net, name, &stem, &[("branch3x3dbl_3a", 384, wide)])?,
        chain(net, name, &stem, &[("branch3x3dbl_3b", 384, high)])?,
    ];
    let double = net.concat(&format!("{name}.branch3x3dbl"), &parts);
    let branches = [one, three, double, pooled(net, name, x, 192)?];
    Ok(net.concat(name, &branches))
}

fn chain(net: &mut Blueprint, name: &str, x: &Value, steps: &[Step]) -> Result<Value, Misfit> {
    let mut x = x.clone();
    for &(step, outputs, window) in steps {
        x = basic(net, &format!("{name}.{step}"), &x, outputs, window)?;
    }
    Ok(x)
}

/// Average pooling and a projection.
fn pooled(net: &mut Blueprint, name: &str, x: &Value, outputs: usize) -> Result<Value, Misfit> {
    let pooled = net.average_pool(&format!("{name}.avgpool"), x, THREE)?;
    chain(net, name, &pooled, &[("branch_pool", outputs, ONE)])
}
