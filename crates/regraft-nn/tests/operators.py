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
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        data = model.SerializeToString()
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        outputs = [session.run(None, {"x": image[None]})[0] for image in x] if name in batched else session.run(None, {"x": x})
        output = np.concatenate(outputs) if name in batched else outputs[0]
        (FOLDER / f"{name}.onnx").write_bytes(data)
        values["outputs"][name] = {"shape": list(output.shape), "values": output.ravel().tolist()}
    (FOLDER / "values.json").write_text(json.dumps(values))


if __name__ == "__main__":
    main()
