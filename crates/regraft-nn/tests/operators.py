"""Writes operators/: a small file for each operator that is imported as several steps, and what ONNX Runtime gives for it.

    python crates/regraft-nn/tests/operators.py
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).parent / "operators"
random = np.random.default_rng(3)
SHAPE = [2, 4, 6, 6]


def f(*shape):
    return random.standard_normal(shape).astype(np.float32)


def i(values):
    return np.array(values, np.int64)


CASES = {}


def case(name, nodes, opset=18, **initializers):
    CASES[name] = (nodes, opset, initializers)


def node(operator, inputs, outputs, **attributes):
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


for kind in "L1 L2 LogSumExp Sum SumSquare".split():
    case(f"reduce-{kind.lower()}", [node(f"Reduce{kind}", "x axes", "y", keepdims=0)], axes=i([2, 3]))
case("reduce-sum-kept", [node("ReduceSum", "x", "y", axes=[1])], opset=11)
case("reduce-log-sum", [node("Abs", "x", "a"), node("ReduceLogSum", "a axes", "y")], axes=i([-1]))
case("instance-norm", [node("InstanceNormalization", "x s b", "y", epsilon=1e-3)], s=f(4), b=f(4))
case("group-norm-18", [node("GroupNormalization", "x s b", "y", num_groups=2)], s=f(2), b=f(2))
case("group-norm-21", [node("GroupNormalization", "x s b", "y", num_groups=2)], opset=21, s=f(4), b=f(4))
case("prelu", [node("PRelu", "x s", "y")], s=f(4, 1, 1))
case("prelu-one", [node("PRelu", "x s", "y")], s=f(1))
case("selu", [node("Selu", "x", "y")])
case("celu", [node("Celu", "x", "y", alpha=0.7)])
case("mish", [node("Mish", "x", "y")])
case("sum-of-three", [node("Relu", "x", "a"), node("Neg", "x", "b"), node("Sum", "x a b", "y")])
case("mean-of-three", [node("Relu", "x", "a"), node("Neg", "x", "b"), node("Mean", "x a b", "y")])
case("max-of-three", [node("Relu", "x", "a"), node("Max", "x a c", "y")], c=f(4, 1, 1))
case("tile", [node("Tile", "x repeats", "y")], repeats=i([1, 2, 1, 3]))
case("space-to-depth", [node("SpaceToDepth", "x", "y", blocksize=2)])
case("slice-axes", [node("Slice", "x starts ends axes steps", "y")], starts=i([1, 0]), ends=i([3, 6]), axes=i([1, 3]), steps=i([1, 2]))
case("slice-backwards", [node("Slice", "x starts ends axes steps", "y")], starts=i([-1, 4]), ends=i([-100, 0]), axes=i([1, 2]), steps=i([-1, -2]))
case("gather-list", [node("Gather", "x indices", "y", axis=1)], indices=i([2, 1, 0]))
case("gather-table", [node("Gather", "x indices", "y", axis=2)], indices=i([[0, 1, 2], [5, 5, -1]]))
case("gather-nd", [node("Transpose", "x", "t", perm=[1, 0, 2, 3]), node("GatherND", "t indices", "g"), node("Transpose", "g", "y", perm=[1, 0, 2, 3])], indices=i([[2], [0]]))
for mode in "reflect edge".split():
    case(f"pad-{mode}", [node("Pad", "x pads", "y", mode=mode)], pads=i([0, 0, 2, 1, 0, 0, 1, 2]))
case("pad-axes", [node("Pad", "x pads c axes", "y")], pads=i([1, 2]), c=np.float32(0.5), axes=i([3]))
case("pad-channels", [node("Pad", "x pads", "y")], pads=i([0, 1, 0, 0, 0, 2, 0, 0]))
case("pad-cuts", [node("Pad", "x pads", "y")], pads=i([0, 0, -1, 1, 0, 0, 0, -2]))
case("average-pool-beyond", [node("AveragePool", "x", "y", kernel_shape=[8, 8], strides=[8, 8], ceil_mode=1)])
case("flatten-two", [node("Flatten", "x", "y", axis=2)])
case("matmul-spread", [node("ReduceMean", "x axes", "m"), node("MatMul", "x m", "y")], axes=i([1]))
case("gemm-row-bias", [node("Flatten", "x", "a"), node("Gemm", "a w b", "y")], w=f(144, 5), b=f(1, 5))
case("gemm-one-bias", [node("Flatten", "x", "a"), node("Gemm", "a w b", "y", alpha=0.5)], w=f(144, 5), b=f(1))
case("concat-token", [node("Flatten", "x", "a", axis=1), node("Unsqueeze", "a one", "t"), node("Concat", "c t", "y", axis=1)], one=i([1]), c=f(1, 2, 144))
for kind in "Max Min".split():
    case(f"reduce-{kind.lower()}", [node(f"Reduce{kind}", "x axes", "y", keepdims=0)], axes=i([1]))
    case(f"reduce-{kind.lower()}-kept", [node(f"Reduce{kind}", "x axes", "y")], axes=i([3, 1]))
scales, sizes = np.array([1, 1, 2, 1.5], np.float32), i([2, 4, 9, 4])
case("resize-nearest", [helper.make_node("Resize", ["x", "", "scales"], ["y"])], scales=scales)


def resize(**attributes):
    return [helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes)]


case("resize-nearest-floor", resize(mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"), sizes=i([2, 4, 12, 12]))
case("resize-nearest-down", resize(mode="nearest", nearest_mode="round_prefer_ceil"), sizes=i([2, 4, 4, 5]))
case("resize-linear", resize(mode="linear"), sizes=sizes)
case("resize-linear-corners", resize(mode="linear", coordinate_transformation_mode="align_corners"), sizes=sizes)
case("resize-linear-torch", resize(mode="linear", coordinate_transformation_mode="pytorch_half_pixel"), sizes=i([2, 4, 1, 11]))
case("resize-linear-smooth", resize(mode="linear", antialias=1), sizes=i([2, 4, 4, 2]))
case("resize-cubic", resize(mode="cubic", cubic_coeff_a=-0.5), sizes=sizes)
case("resize-cubic-inside", resize(mode="cubic", exclude_outside=1), sizes=i([2, 4, 13, 7]))
case("resize-cubic-smooth", resize(mode="cubic", antialias=1), sizes=i([2, 4, 3, 4]))
case("resize-axes", [helper.make_node("Resize", ["x", "", "s"], ["y"], mode="linear", axes=[3])], s=np.array([2.5], np.float32))
case("resize-10", [node("Resize", "x scales", "y", mode="nearest")], opset=10, scales=np.array([1, 1, 0.5, 2], np.float32))
case("upsample-9", [node("Upsample", "x scales", "y", mode="linear")], opset=9, scales=np.array([1, 1, 2, 2], np.float32))


def einsum(equation, **weights):
    name = equation.replace("->", "-to-").replace(",", "-and-").replace("...", "rest-")
    case(f"einsum-{name}", [node("Relu", "x", "a"), node("Einsum", " ".join(["x", *(weights or ["a"])]), "y", equation=equation)], **weights)


einsum("nchw,nchv->ncwv")
einsum("nchw,nkhw->nck")
einsum("nchw,nchw->nhw")
einsum("nchw,cd->ndhw", w=f(4, 3))
einsum("nchw,dc->nhwd", w=f(3, 4))
einsum("nchw,chd->nwd", w=f(4, 6, 3))
einsum("nchw,cwd->nchd", w=f(4, 6, 2))
einsum("...hw,wv->...hv", w=f(6, 5))
case("einsum-one", [node("Einsum", "x", "y", equation="nchw->nwc")])
lines = [node("Reshape", "x lines", "l")]
case("conv-lines", [*lines, node("Conv", "l w b", "y", pads=[2, 1], strides=[2], dilations=[2], group=2)], lines=i([0, 8, 18]), w=f(6, 4, 3), b=f(6))
case("max-pool-lines", [*lines, node("MaxPool", "l", "y", kernel_shape=[3], strides=[2], pads=[1, 1])], lines=i([0, 8, 18]))
case("average-pool-lines", [*lines, node("AveragePool", "l", "y", kernel_shape=[4], strides=[3])], lines=i([0, 8, 18]))
case("global-pool-lines", [*lines, node("GlobalAveragePool", "l", "y")], lines=i([0, 8, 18]))
case("conv-slices", [node("Reshape", "x volume", "v"), node("Conv", "v w b", "y", kernel_shape=[3, 3, 1], pads=[1, 1, 0, 1, 1, 0])], volume=i([0, 1, 4, 6, 6]), w=f(3, 1, 3, 3, 1), b=f(3))
case("average-pool-rows", [node("Unsqueeze", "x one", "v"), node("AveragePool", "v", "y", kernel_shape=[3, 1, 1], strides=[1, 1, 1], pads=[1, 0, 0, 1, 0, 0], count_include_pad=1)], one=i([1]))
case("conv-windows", [node("Reshape", "x windows", "v"), node("Conv", "v w", "c", pads=[1, 1, 1, 1]), node("Relu", "c", "r"), node("Reshape", "r back", "y")], windows=i([-1, 2, 6, 6]), back=i([-1, 6, 6, 6]), w=f(3, 2, 3, 3))
case("col2im", [node("Reshape", "x columns", "c"), node("Col2Im", "c image kernel", "y", pads=[1, 0, 0, 1], strides=[2, 1], dilations=[1, 2])], columns=i([0, 12, 12]), image=i([5, 7]), kernel=i([2, 3]))
tokens = [node("Flatten", "x", "f", axis=1), node("Reshape", "f shape", "t"), node("MatMul", "t q", "Q"), node("MatMul", "t k", "K"), node("MatMul", "t v", "V")]
heads = dict(shape=i([0, 12, 12]), q=f(12, 8), k=f(12, 4), v=f(12, 6))
case("attention", [*tokens, node("Attention", "Q K V", "y", q_num_heads=4, kv_num_heads=2)], opset=23, **heads)
case("attention-causal", [*tokens, node("Attention", "Q K V m", "y", q_num_heads=4, kv_num_heads=2, is_causal=1, scale=0.3)], opset=23, m=f(12, 12), **heads)
case("attention-mask", [*tokens, node("Attention", "Q K V m", "y", q_num_heads=4, kv_num_heads=2, softcap=2.0)], opset=23, m=random.random((12, 12)) < 0.7, **heads)
case("attention-by-heads", [node("Attention", "x x x", "y")], opset=23)
case("batch-norm-volumes", [node("Reshape", "x volume", "v"), node("BatchNormalization", "v s b m d", "y")], volume=i([0, 4, 2, 3, 6]), s=f(4), b=f(4), m=f(4), d=np.abs(f(4)))
case("conv-transpose", [node("ConvTranspose", "x w b", "y", strides=[2, 3], pads=[1, 0, 0, 1], output_padding=[1, 0], dilations=[1, 2])], w=f(4, 3, 3, 2), b=f(3))
case("conv-transpose-same", [node("ConvTranspose", "x w", "y", strides=[2, 2], auto_pad="SAME_UPPER")], w=f(4, 2, 3, 3))
for mode in "DCR CRD".split():
    case(f"depth-to-space-{mode.lower()}", [node("DepthToSpace", "x", "y", blocksize=2, mode=mode)])
case("layer-norm-two", [node("LayerNormalization", "x s b", "y", axis=2)], s=f(6, 6), b=f(6, 6))
case("rms-norm", [node("RMSNormalization", "x s", "y", axis=-1)], opset=23, s=f(6))
case("matmul-from-left", [node("MatMul", "w x", "y")], w=f(5, 6))
case("matmul-weights-for-channels", [node("MatMul", "x w", "y")], w=f(4, 6, 3))
case("matmul-weights-from-left", [node("MatMul", "w x", "y")], w=f(4, 5, 6))
case("standardised-weight", [helper.make_node("BatchNormalization", ["v", "one", "none", "mean", "none"], ["n", "m", "s"], training_mode=1, epsilon=1e-6), node("Reshape", "n shape", "w"), node("Conv", "x w", "y")], v=f(1, 3, 36), one=np.ones(3, np.float32), none=np.zeros(3, np.float32), mean=np.zeros(3, np.float32), shape=i([3, 4, 3, 3]))


def branches():
    """Squeezes an axis of one entry, as PyTorch's tracer writes it; what is taken hangs on a shape."""
    squeeze = helper.make_graph([node("Squeeze", "m one", "s")], "then", [], [helper.make_tensor_value_info("s", TensorProto.FLOAT, None)])
    identity = helper.make_graph([node("Identity", "m", "i")], "else", [], [helper.make_tensor_value_info("i", TensorProto.FLOAT, None)])
    shape = [node("ReduceMean", "x axes", "m"), node("Shape", "m", "shape"), node("Gather", "shape one", "extent"), node("Equal", "extent one", "is")]
    return [*shape, node("If", "is", "b", then_branch=squeeze, else_branch=identity), node("Relu", "b", "y")]


case("if", branches(), axes=i([1]), one=i([1]))


def functions(model):
    """Two calls of a function that calls another, with an attribute of its own."""
    opset = [helper.make_opsetid("", 18)]
    slope = node("LeakyRelu", "a", "b")
    slope.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))
    inner = helper.make_function("ours", "Inner", ["a"], ["c"], [slope, node("Abs", "b", "c")], opset, ["slope"])
    call = helper.make_node("Inner", ["t"], ["u"], domain="ours", slope=0.3)
    outer = helper.make_function("ours", "Outer", ["a", "b"], ["u"], [node("Mul", "a b", "t"), call], [*opset, helper.make_opsetid("ours", 1)])
    model.functions.extend([inner, outer])
    model.opset_import.append(helper.make_opsetid("ours", 1))


case("functions", [helper.make_node("Outer", ["x", "w"], ["t"], domain="ours"), helper.make_node("Outer", ["t", "w"], ["y"], domain="ours")], w=f(4, 1, 1))


def sparse(model):
    """The weight of a linear layer by places, the bias by rows and columns."""
    for name, by_axis in [("w", False), ("c", True)]:
        (stored,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
        dense = numpy_helper.to_array(stored)
        places = np.argwhere(dense) if by_axis else np.flatnonzero(dense)
        values = numpy_helper.from_array(dense[dense != 0], name)
        model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, numpy_helper.from_array(places, f"{name}-places"), dense.shape))
        model.graph.initializer.remove(stored)


case("sparse", [node("MatMul", "x w", "t"), node("Add", "t c", "y")], w=f(6, 5) * (random.random((6, 5)) < 0.4), c=f(1, 5) * np.array([[1, 0, 0, 1, 1]], np.float32))
CHANGED = {"functions": functions, "sparse": sparse}


def main():
    FOLDER.mkdir(exist_ok=True)
    x = f(*SHAPE)
    values = {"input": {"shape": SHAPE, "values": x.ravel().tolist()}, "outputs": {}}
    for name, (nodes, opset, initializers) in CASES.items():
        batched = ["concat-token"]
        shape = [1 if name in batched else "N", *SHAPE[1:]]
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [onnx.ValueInfoProto(name="y", type=onnx.TypeProto(tensor_type=onnx.TypeProto.Tensor(elem_type=TensorProto.FLOAT)))],
            [numpy_helper.from_array(np.asarray(array), key) for key, array in initializers.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        CHANGED.get(name, lambda model: None)(model)
        data = model.SerializeToString()
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        outputs = [session.run(None, {"x": image[None]})[0] for image in x] if name in batched else session.run(None, {"x": x})
        output = np.concatenate(outputs) if name in batched else outputs[0]
        (FOLDER / f"{name}.onnx").write_bytes(data)
        values["outputs"][name] = {"shape": list(output.shape), "values": output.ravel().tolist()}
    (FOLDER / "values.json").write_text(json.dumps(values))


if __name__ == "__main__":
    main()
