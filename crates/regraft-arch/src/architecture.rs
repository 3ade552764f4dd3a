//! The table of architectures: one line each. A new one is a function that draws it and a line here.

use std::fmt;
use std::str::FromStr;

use regraft_spec::similar::nearest;

use crate::blueprint::{Blueprint, Misfit};
use crate::error::Error;
use crate::{googlenet, inception_v3, mobilenet_v2, resnet, vgg};

/// What is known of an architecture.
struct Row {
    name: &'static str,
    about: &'static str,
    /// Pixels a side that the paper trains at.
    size: usize,
    /// Shorter side before the centre crop of the paper's size.
    resize: usize,
    /// The largest image that gets the CIFAR stem by itself, in pixels a side.
    small: usize,
    draw: fn(&mut Blueprint) -> Result<(), Misfit>,
}

impl Row {
    const fn new(
        name: &'static str,
        about: &'static str,
        draw: fn(&mut Blueprint) -> Result<(), Misfit>,
    ) -> Self {
        Self {
            name,
            about,
            size: 224,
            resize: 256,
            small: 64,
            draw,
        }
    }
}

const RESNET: &str = "He et al. 2016a, Deep Residual Learning for Image Recognition";
const PREACT: &str = "He et al. 2016b, Identity Mappings in Deep Residual Networks";
const VGG: &str = "Simonyan and Zisserman 2015, Very Deep Convolutional Networks";
const VGG_BN: &str = "Simonyan and Zisserman 2015, with batch normalisation";

static TABLE: [Row; 17] = [
    Row::new("resnet18", RESNET, |net| resnet::post(net, &resnet::R18)),
    Row::new("resnet34", RESNET, |net| resnet::post(net, &resnet::R34)),
    Row::new("resnet50", RESNET, |net| resnet::post(net, &resnet::R50)),
    Row::new("preact_resnet18", PREACT, |net| {
        resnet::pre(net, &resnet::R18)
    }),
    Row::new("preact_resnet34", PREACT, |net| {
        resnet::pre(net, &resnet::R34)
    }),
    Row::new("preact_resnet50", PREACT, |net| {
        resnet::pre(net, &resnet::R50)
    }),
    Row::new("vgg11", VGG, |net| vgg::plain(net, vgg::A)),
    Row::new("vgg13", VGG, |net| vgg::plain(net, vgg::B)),
    Row::new("vgg16", VGG, |net| vgg::plain(net, vgg::D)),
    Row::new("vgg19", VGG, |net| vgg::plain(net, vgg::E)),
    Row::new("vgg11_bn", VGG_BN, |net| vgg::normalised(net, vgg::A)),
    Row::new("vgg13_bn", VGG_BN, |net| vgg::normalised(net, vgg::B)),
    Row::new("vgg16_bn", VGG_BN, |net| vgg::normalised(net, vgg::D)),
    Row::new("vgg19_bn", VGG_BN, |net| vgg::normalised(net, vgg::E)),
    Row::new(
        "googlenet",
        "Szegedy et al. 2015, Going Deeper with Convolutions (Inception v1), with batch normalisation",
        googlenet::draw,
    ),
    Row {
        size: 299,
        resize: 342,
        // Its unpadded layers take 75 x 75 at least.
        small: 74,
        ..Row::new(
            "inception_v3",
            "Szegedy et al. 2016, Rethinking the Inception Architecture",
            inception_v3::draw,
        )
    },
    Row::new(
        "mobilenet_v2",
        "Sandler et al. 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        mobilenet_v2::draw,
    ),
];

/// Other names for rows of the table.
const ALSO_CALLED: [(&str, &str); 1] = [("inception_v1", "googlenet")];

/// A network of the literature, by its name: `"resnet18".parse::<Architecture>()`.
#[derive(Clone, Copy)]
pub struct Architecture(&'static Row);

impl Architecture {
    /// Every architecture, related ones together.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }

    /// Its name, as torchvision has it where torchvision has the network.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The paper that it comes from.
    pub fn about(self) -> &'static str {
        self.0.about
    }

    /// Pixels a side of the images that the paper trains on.
    pub fn default_size(self) -> usize {
        self.0.size
    }

    /// Shorter side of an image before the centre crop of `size` pixels: some border where the size is the paper's, none
    /// elsewhere.
    pub(crate) fn resize(self, size: usize) -> usize {
        if size == self.0.size {
            self.0.resize
        } else {
            size
        }
    }

    pub(crate) fn is_small(self, size: usize) -> bool {
        size <= self.0.small
    }

    pub(crate) fn draw(self, net: &mut Blueprint) -> Result<(), Misfit> {
        (self.0.draw)(net)
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let own = ALSO_CALLED
            .iter()
            .find(|(other, _)| *other == name)
            .map_or(name, |(_, own)| own);
        if let Some(row) = TABLE.iter().find(|row| row.name == own) {
            return Ok(Self(row));
        }
        let near = nearest(name, TABLE.iter().map(|row| row.name));
        Err(Error::UnknownArchitecture {
            name: name.to_owned(),
            near: near.into_iter().next().unwrap_or_default(),
            known: TABLE.iter().map(|row| row.name).collect(),
        })
    }
}

impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Architecture {}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Debug for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Architecture({})", self.0.name)
    }
}
