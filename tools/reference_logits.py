#!/usr/bin/env python3
"""Reference logits of an image classifier, by ONNX Runtime, for an input that a formula gives.

What for: golden tests of a real network without an input file to store. The value at flat index i
of the NCHW tensor [1, C, H, W] is, in wrapping 32-bit unsigned arithmetic,

    x  = i * 2654435761
    x ^= x >> 15
    x  = x * 2246822519
    x ^= x >> 13
    v  = (x >> 8) / 2^24                       in [0, 1), exact in f32
    value = v * scale + shift                  f32, rounded after each of the two operations

A model whose input is NHWC gets the same tensor transposed to [1, H, W, C]; "shape" in the result
stays [1, C, H, W].

The result is JSON: {"model", "sha256", "shape", "scale", "shift", "logits", "output"}. "output" is
the model's own output, flattened; "logits" is what goes into the Softmax that ends the model, and
the same as "output" where none does. Floats have 9 significant digits: enough to name an f32.
ONNX Runtime runs with its graph optimisations disabled, on one thread.

Needs: Python 3.10, numpy, onnx, onnxruntime.

Run:   python tools/reference_logits.py MODEL.onnx [--size 224 | --size 224 192] \\
           [--scale 255 --shift -116] [--layout auto|nchw|nhwc] -o goldens/MODEL.json
       Without -o the JSON goes to standard output.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort


def deterministic_input(shape, scale, shift):
    """The tensor of the formula above, NCHW, float32."""
    count = int(np.prod(shape))
    if count > 2**32:
        raise ValueError(f"{count} elements: the index would wrap")
    x = np.arange(count, dtype=np.uint32)
    x = x * np.uint32(2654435761)  # arrays of unsigned integers wrap silently
    x ^= x >> np.uint32(15)
    x = x * np.uint32(2246822519)
    x ^= x >> np.uint32(13)
    unit = (x >> np.uint32(8)).astype(np.float32) / np.float32(2**24)
    return (unit * np.float32(scale) + np.float32(shift)).reshape(shape)


def graph_input(graph):
    """The one input that is not an initializer, as (name, dims); a dimension without value is None."""
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    if len(inputs) != 1:
        raise ValueError(f"expected one input, found {[value.name for value in inputs]}")
    dims = [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
        for dim in inputs[0].type.tensor_type.shape.dim
    ]
    if len(dims) != 4:
        raise ValueError(f"input {inputs[0].name} has {len(dims)} dimensions, expected 4")
    return inputs[0].name, dims


def is_nhwc(dims, layout):
    if layout != "auto":
        return layout == "nhwc"
    return dims[3] in (1, 3, 4) and dims[1] not in (1, 3, 4)


def value_before_softmax(graph):
    """The input of the Softmax that ends the graph, seen through Identity; None where there is none."""
    producer = {output: node for node in graph.node for output in node.output}
    node = producer.get(graph.output[0].name)
    while node is not None and node.op_type == "Identity":
        node = producer.get(node.input[0])
    return node.input[0] if node is not None and node.op_type == "Softmax" else None


def run(model, feed):
    """(logits, output) of the model, flattened."""
    output = model.graph.output[0].name
    logits = value_before_softmax(model.graph) or output
    if logits not in {value.name for value in model.graph.output}:
        model.graph.output.append(
            onnx.helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, None)
        )
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    results = session.run([logits, output], feed)
    return [np.asarray(result, dtype=np.float32).ravel() for result in results]


def rounded(values):
    return [float(f"{value:.9g}") for value in values]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--size", type=int, nargs="+", metavar="N", help="height [width]; default: the model's own")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--shift", type=float, default=0.0)
    parser.add_argument("--layout", choices=["auto", "nchw", "nhwc"], default="auto")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()

    data = arguments.model.read_bytes()
    model = onnx.load_from_string(data)
    name, dims = graph_input(model.graph)
    nhwc = is_nhwc(dims, arguments.layout)
    height, width, channels = dims[1:] if nhwc else (dims[2], dims[3], dims[1])
    if arguments.size:
        if len(arguments.size) > 2:
            parser.error("--size takes one or two numbers")
        height, width = arguments.size[0], arguments.size[-1]
    if None in (height, width, channels):
        parser.error("the model does not fix its input size: give --size")

    shape = [1, channels, height, width]
    tensor = deterministic_input(shape, arguments.scale, arguments.shift)
    if nhwc:
        tensor = np.ascontiguousarray(tensor.transpose(0, 2, 3, 1))
    logits, output = run(model, {name: tensor})

    result = {
        "model": arguments.model.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "shape": shape,
        "scale": arguments.scale,
        "shift": arguments.shift,
        "logits": rounded(logits),
        "output": rounded(output),
    }
    text = "{\n" + ",\n".join(f'  "{key}": {json.dumps(value)}' for key, value in result.items()) + "\n}\n"
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text)
        print(
            f"{arguments.output}: {'NHWC' if nhwc else 'NCHW'} {shape}, {len(logits)} logits in "
            f"[{logits.min():.6g}, {logits.max():.6g}], argmax {int(logits.argmax())}"
        )
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
