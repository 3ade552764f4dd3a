//! What features depend on besides the image, as one short name.

use std::ops::Range;

use burn::tensor::Device;
use regraft_kernels::Isa;
use regraft_onnx::{Graph, Input};
use regraft_trunk::Precision;
use sha2::{Digest, Sha256};

/// The SHA-256, in 64 lower-case digits, of what decides the bytes of activations: the operators of `nodes` and the
/// weights that they read, the size of an image, the device, its instruction set, the precision, and this version.
///
/// Two networks with the same fingerprint give the same activations for the same image on the same machine.
pub fn fingerprint(
    graph: &Graph,
    nodes: Range<usize>,
    device: &Device,
    precision: Precision,
) -> String {
    let mut digest = Sha256::new();
    let version = env!("CARGO_PKG_VERSION");
    let isa = Isa::detect();
    let size = graph.image_shape();
    digest.update(format!("{version} {isa:?} {device:?} {precision:?}"));
    digest.update(format!("{:?} {size:?}", graph.layout));
    for node in &graph.nodes[nodes.clone()] {
        digest.update(format!("{:?} {:?} {:?}", node.op, node.inputs, node.output));
        for input in &node.inputs {
            if let Input::Parameter(id) = input {
                digest.update(format!("{:?}", graph.parameter(*id).shape));
            }
        }
    }
    for id in graph.parameters_of(nodes) {
        for value in graph.parameter(id).data.to_vec() {
            digest.update(value.to_le_bytes());
        }
    }
    let digest = digest.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
