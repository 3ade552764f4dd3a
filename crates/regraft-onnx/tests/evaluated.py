"""Writes evaluated.json: what ONNX Runtime computes of constants, one case a line.

    python crates/regraft-onnx/tests/evaluated.py > crates/regraft-onnx/tests/evaluated.json
"""

import json

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

OPSET = 18
TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL, "int32": TensorProto.INT32, "uint8": TensorProto.UINT8}
random = np.random.default_rng(7)


def f(*shape):
    return (random.standard_normal(shape) * 2).round(3).astype(np.float32)


def i(values, dtype=np.int64):
    return np.array(values, dtype)


def b(values):
    return np.array(values, bool)


CASES = []


def case(operator, inputs, outputs=1, **attributes):
    CASES.append((operator, inputs, outputs, attributes))


for operator in "Abs Ceil Cos Erf Exp Floor Neg Relu Round Sigmoid Sign Sin Softplus Tanh".split():
    case(operator, [f(2, 3)])
case("Round", [np.array([0.5, 1.5, -0.5, -2.5, 2.4], np.float32)])
for operator in "Log Reciprocal Sqrt".split():
    case(operator, [np.abs(f(2, 3)) + np.float32(0.1)])
case("IsNaN", [np.array([0.0, np.nan, np.inf], np.float32)])
case("IsInf", [np.array([0.0, np.nan, np.inf], np.float32)])
case("Not", [b([True, False])])
case("Abs", [i([-3, 4])])
case("Neg", [i([-3, 4])])
case("Sign", [i([-3, 0, 4])])
for operator in "Add Sub Mul Div".split():
    case(operator, [f(1, 4), f(4, 1)])
    case(operator, [f(2, 3, 4), f(4)])
    case(operator, [i([[7, -7]]), i([[2], [-3]])])
case("Pow", [np.abs(f(3)), f(3)])
case("Mod", [i([7, -7, 7, -7]), i([3, 3, -3, -3])])
case("Mod", [f(4), f(4)], fmod=1)
for operator in "Equal Greater GreaterOrEqual Less LessOrEqual".split():
    case(operator, [i([1, 2, 3]), i([[2], [3]])])
    case(operator, [f(3), f(3)])
for operator in "And Or Xor".split():
    case(operator, [b([True, True, False, False]), b([True, False, True, False])])
for operator in "Sum Mean Max Min".split():
    case(operator, [f(2, 1), f(3), f(2, 3)])
    case(operator, [f(2, 3)])
case("Max", [i([1, 5]), i([3])])
case("Clip", [f(6), np.float32(-0.5), np.float32(1.0)])
case("Clip", [i([-3, 0, 9]), i(0), i(5)])
case("Where", [b([[True], [False]]), f(2, 3), f(3)])
case("Where", [b([True, False]), i([1, 2]), i([3, 4])])
case("Cast", [np.array([0.3, -2.9, 0.0, 2.9], np.float32)], to=TensorProto.BOOL)
case("Cast", [np.array([0.3, -2.9, 0.0, 2.9], np.float32)], to=TensorProto.INT64)
case("Cast", [i([3, -2, 300])], to=TensorProto.FLOAT)
case("Cast", [i([3, 254, 300])], to=TensorProto.UINT8)
case("Range", [i(2), i(11), i(3)])
case("Range", [i(5), i(0), i(-2)])
case("Range", [np.float32(0), np.float32(1), np.float32(0.25)])
case("Reshape", [f(2, 3, 4), i([0, -1])])
case("Reshape", [f(2, 6), i([-1, 4])])
case("Flatten", [f(2, 3, 4)], axis=2)
case("Flatten", [f(2, 3, 4)], axis=0)
case("Squeeze", [f(1, 3, 1), i([-1])])
case("Squeeze", [f(1, 3, 1)])
case("Unsqueeze", [f(3), i([0, -1])])
case("Unsqueeze", [i(5), i([0])])
case("Transpose", [f(2, 3, 4)])
case("Transpose", [f(2, 3, 4)], perm=[1, 2, 0])
case("Concat", [f(2, 3), f(2, 1)], axis=-1)
case("Concat", [i([1]), i([2, 3])], axis=0)
case("Slice", [f(4, 5), i([1, -1]), i([4, -6]), i([0, 1]), i([1, -2])])
case("Slice", [i([1, 2, 3, 4, 5]), i([-1]), i([-9223372036854775807]), i([0]), i([-1])])
case("Slice", [f(4, 5), i([3]), i([1]), i([1])])
case("Split", [f(2, 5), i([2, 3])], outputs=2, axis=1)
case("Gather", [f(3, 4), i([[2, 0], [-1, 1]])], axis=0)
case("Gather", [f(3, 4), i(1)], axis=1)
case("GatherElements", [f(3, 3), i([[0, 2], [1, -1]])], axis=1)
case("GatherND", [f(2, 3, 2), i([[0, 1], [1, 2]])])
case("ScatterND", [f(4, 2), i([[1], [3]]), f(2, 2)])
case("ScatterElements", [f(3, 3), i([[1, 0, 2], [0, 2, 1]]), f(2, 3)], axis=0)
case("ScatterElements", [i([[1, 2, 3, 4]]), i([[1, -1]]), i([[7, 8]])], axis=1)
case("Resize", [f(1, 2, 3, 4), None, None, i([1, 2, 7, 3])], mode="linear")
case("Resize", [f(1, 1, 5, 5), None, np.array([1, 1, 1.5, 0.6], np.float32)], mode="cubic", coordinate_transformation_mode="asymmetric")
case("BatchNormalization", [f(1, 3, 8), f(3), f(3), f(3), np.abs(f(3))])
case("OneHot", [i([[1, -1], [3, 0]]), i(3), f(2)])
case("OneHot", [i([2, 0]), i([3]), i([5, 7])], axis=0)
case("Expand", [f(2, 1), i([3, 1, 4])])
case("Tile", [f(2, 3), i([2, 2])])
case("Pad", [f(2, 3), i([1, 0, 0, 2]), np.float32(7)])
case("Pad", [f(2, 4), i([0, 2, 1, 1])], mode="reflect")
case("Pad", [f(2, 3), i([1, 2, 0, 1])], mode="edge")
case("Pad", [f(3, 4), i([-1, 0, 0, -1])])
case("Pad", [f(2, 3), i([1, 1]), np.float32(0), i([1])])
case("Shape", [f(2, 3, 4)], start=1)
case("Size", [f(2, 3, 4)])
case("ConstantOfShape", [i([2, 2])])
case("Trilu", [f(3, 4)], upper=0)
case("Trilu", [f(3, 4), i(1)])
for operator in "L1 L2 LogSumExp Max Mean Min Prod Sum SumSquare".split():
    case(f"Reduce{operator}", [f(2, 3, 4), i([1, -1])], keepdims=0)
    case(f"Reduce{operator}", [f(2, 3), i([0])])
case("ReduceSum", [i([[1, 2], [3, 4]]), i([1])])
case("ReduceMax", [f(2, 3)])
case("CumSum", [f(2, 3), i(1)])
case("MatMul", [f(2, 3, 4), f(4, 5)])
case("MatMul", [f(2, 1, 3, 4), f(1, 3, 4, 2)])


def tensor(array):
    array = np.asarray(array)
    if array.dtype == np.float32:
        return {"shape": list(array.shape), "floats": [None if np.isnan(v) else "inf" if np.isinf(v) else float(v) for v in array.ravel()]}
    return {"shape": list(array.shape), "whole": [int(v) for v in array.ravel()]}


for operator, inputs, outputs, attributes in CASES:
    # One that is left out is None.
    inputs = [None if array is None else np.asarray(array) for array in inputs]
    names = ["" if array is None else f"x{n}" for n, array in enumerate(inputs)]
    given = {name: array for name, array in zip(names, inputs) if name}
    results = [f"y{n}" for n in range(outputs)]
    node = helper.make_node(operator, names, results, **attributes)
    graph = helper.make_graph(
        [node],
        "case",
        [helper.make_tensor_value_info(name, TYPES[str(array.dtype)], array.shape) for name, array in given.items()],
        [onnx.ValueInfoProto(name=name) for name in results],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = session.run(None, given)
    print(json.dumps({"operator": operator, "attributes": attributes, "inputs": [None if a is None else tensor(a) for a in inputs], "outputs": [tensor(v) for v in values]}))
