//! Criterion over the layers of ResNet and VGG.

fn main() {}
