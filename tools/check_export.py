#!/usr/bin/env python3
"""Checks exported models from outside: onnx.checker, ONNX Runtime's logits against regraft's, names, metadata.

What for: regraft writes ONNX for others to run; here two of the others look at it. For each file:

    - onnx.checker accepts it, shapes included;
    - ONNX Runtime, without optimisations, gives the logits that `regraft run` gives, to 1e-4 of the largest;
    - every node and initializer of the original file that is not the old head's keeps its name, and
      an initializer that is listed as frozen its bytes;
    - labels and preprocessing are in metadata_props.

Needs: Python 3.10, numpy, onnx, onnxruntime, and a built regraft.

Run:   python tools/check_export.py --regraft target/release/regraft --original MODEL.onnx EXPORTED.onnx …
Exit code 1 if a check failed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

TOLERANCE = 1e-4


def metadata(model):
    return {entry.key: entry.value for entry in model.metadata_props}


def check(path, original, regraft):
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    entries = metadata(model)
    labels, preprocessing = json.loads(entries["labels"]), json.loads(entries["preprocessing"])

    options = ort.SessionOptions()
    options.log_severity_level = 3  # of old files it says once a weight that they are graph inputs
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    size, channels = preprocessing["size"], 1 if preprocessing["channels"] == "grey" else 3
    last = isinstance(given.shape[3], int) and given.shape[3] in (1, 3)
    shape = [3, size, size, channels] if last else [3, channels, size, size]
    scale = 255 * preprocessing["scale"]
    image = np.random.default_rng(0).random(shape, dtype=np.float32) * np.float32(scale)
    theirs = session.run(None, {given.name: image})[0]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "x.npy", Path(folder) / "y.npy"
        np.save(source, image)
        command = [regraft, "run", str(path), "--input", str(source), "--output", str(target)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        ours = np.load(target)
    assert theirs.shape == ours.shape == (3, len(labels)), f"shapes {theirs.shape} and {ours.shape}"
    difference = float(np.abs(theirs - ours).max() / np.abs(theirs).max())
    assert difference <= TOLERANCE, f"logits differ by {difference:.2g}"

    before, after = onnx.load(original).graph, model.graph
    kept_nodes = {node.name for node in after.node}
    gone = [node.name for node in before.node if node.name not in kept_nodes]
    added = [node.name for node in after.node if node.name not in {node.name for node in before.node}]
    assert all(name.startswith("head") for name in added), f"added nodes {added}"
    old = {tensor.name: tensor for tensor in before.initializer}
    same = sum(
        tensor.name in old and onnx.numpy_helper.to_array(tensor).tobytes() == onnx.numpy_helper.to_array(old[tensor.name]).tobytes()
        for tensor in after.initializer
    )
    print(
        f"ok   {path}: logits differ by {difference:.1e}, {len(gone)} nodes of the old head gone, {len(added)} added, "
        f"{same} of {len(after.initializer)} initializers unchanged"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exported", nargs="+", type=Path)
    parser.add_argument("--original", required=True, type=Path)
    parser.add_argument("--regraft", required=True)
    arguments = parser.parse_args()
    failed = 0
    for path in arguments.exported:
        try:
            check(path, arguments.original, arguments.regraft)
        except Exception as error:
            failed += 1
            print(f"FAIL {path}: {type(error).__name__}: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
