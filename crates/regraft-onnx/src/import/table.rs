//! The table of operators: one line each. A new operator is one function in its family's file and one line here.

use onnx_ir::NodeProto;

use super::importer::Importer;
use super::{
    attention, branch, columns, composed, constants, einsum, elementwise, layers, layout, pooling,
    reductions, resize,
};
use crate::error::Error;

type Import = fn(&mut Importer<'_>, &NodeProto) -> Result<(), Error>;

const OPERATORS: &[(&str, Import)] = &[
    ("Abs", elementwise::activation),
    ("Add", elementwise::binary),
    ("Attention", attention::attention),
    ("AveragePool", pooling::average_pool),
    ("BatchNormalization", layers::batch_norm),
    ("Cast", constants::cast),
    ("Celu", composed::function),
    ("Clip", elementwise::activation),
    ("Col2Im", columns::col2im),
    ("Concat", layout::concat),
    ("Constant", constants::constant),
    ("Conv", layers::conv),
    ("ConvTranspose", columns::conv_transpose),
    ("DepthToSpace", composed::depth_to_space),
    ("DequantizeLinear", constants::dequantize),
    ("Div", elementwise::binary),
    ("Dropout", constants::pass),
    ("Einsum", einsum::einsum),
    ("Elu", elementwise::activation),
    ("Erf", elementwise::activation),
    ("Exp", elementwise::activation),
    ("Expand", layout::expand),
    ("Flatten", layout::flatten),
    ("Gather", layout::gather),
    ("GatherND", composed::gather_nd),
    ("Gelu", elementwise::activation),
    ("Gemm", layers::gemm),
    ("GlobalAveragePool", pooling::global),
    ("GlobalMaxPool", pooling::global),
    ("Greater", composed::test),
    ("GroupNormalization", composed::group_norm),
    ("HardSigmoid", elementwise::activation),
    ("HardSwish", elementwise::activation),
    ("Identity", constants::pass),
    ("If", branch::branch),
    ("InstanceNormalization", composed::instance_norm),
    ("IsNaN", composed::test),
    ("LRN", layers::lrn),
    ("LayerNormalization", layers::layer_norm),
    ("LeakyRelu", elementwise::activation),
    ("Log", elementwise::activation),
    ("LogSoftmax", elementwise::softmax),
    ("LpNormalization", composed::normalise),
    ("MatMul", layers::matmul),
    ("Max", elementwise::binary),
    ("MaxPool", pooling::max_pool),
    ("Mean", composed::several),
    ("Min", elementwise::binary),
    ("Mish", composed::function),
    ("Mul", elementwise::binary),
    ("Neg", elementwise::activation),
    ("PRelu", composed::prelu),
    ("Pad", layout::pad),
    ("Pow", elementwise::binary),
    ("RMSNormalization", composed::rms_norm),
    ("Range", constants::range),
    ("Reciprocal", elementwise::activation),
    ("ReduceL1", reductions::reduce),
    ("ReduceL2", reductions::reduce),
    ("ReduceLogSum", reductions::reduce),
    ("ReduceLogSumExp", reductions::reduce),
    ("ReduceMax", reductions::reduce),
    ("ReduceMean", pooling::reduce_mean),
    ("ReduceMin", reductions::reduce),
    ("ReduceSum", reductions::reduce),
    ("ReduceSumSquare", reductions::reduce),
    ("Relu", elementwise::activation),
    ("Reshape", layout::reshape),
    ("Resize", resize::resize),
    ("Selu", composed::function),
    ("Shape", constants::shape),
    ("Sigmoid", elementwise::activation),
    ("Slice", layout::slice),
    ("Softmax", elementwise::softmax),
    ("Softplus", elementwise::activation),
    ("Softsign", elementwise::activation),
    ("SpaceToDepth", composed::space_to_depth),
    ("Split", layout::split),
    ("Sqrt", elementwise::activation),
    ("Squeeze", layout::squeeze),
    ("Sub", elementwise::binary),
    ("Sum", elementwise::binary),
    ("Swish", composed::function),
    ("Tanh", elementwise::activation),
    ("Tile", composed::tile),
    ("Transpose", layout::transpose),
    ("Unsqueeze", layout::unsqueeze),
    ("Upsample", resize::resize),
    ("Where", composed::choose),
];

/// The function that imports an operator of the standard domain.
pub(super) fn importer(operator: &str) -> Option<Import> {
    OPERATORS
        .binary_search_by(|(name, _)| (*name).cmp(operator))
        .ok()
        .map(|index| OPERATORS[index].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_line_is_found() {
        for (name, _) in OPERATORS {
            assert!(importer(name).is_some(), "{name} is out of order");
        }
    }
}
