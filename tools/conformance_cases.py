#!/usr/bin/env python3
"""Lays out the ONNX project's backend cases as plain folders: SUITE/CASE/{model.onnx, input_K.pb, output_0.pb}.

What for: `cargo xtask conformance` runs them through regraft. The cases come with the onnx package; the light models among
them have no stored input, so the package's own generator makes it.

Needs: Python 3.10, numpy, onnx.

Run:   python tools/conformance_cases.py OUT_DIR
"""

import shutil
import sys
from pathlib import Path

import onnx
from onnx import numpy_helper
from onnx.backend.test.runner import Runner

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
SUITES = ["pytorch-converted", "pytorch-operator", "simple"]


def main():
    out = Path(sys.argv[1])
    shutil.rmtree(out, ignore_errors=True)
    count = 0
    for suite in SUITES:
        for case in sorted((DATA / suite).iterdir()):
            target = out / suite / case.name
            shutil.copytree(case / "test_data_set_0", target)
            shutil.copy(case / "model.onnx", target)
            count += 1
    for path in sorted((DATA / "light").glob("*.onnx")):
        target = out / "light" / path.stem
        target.mkdir(parents=True)
        graph = onnx.load(path).graph
        weights = {tensor.name for tensor in graph.initializer}
        image = next(value for value in graph.input if value.name not in weights)
        pixels = Runner.generate_dummy_data(image, seed=0, name=path.stem, random=False)
        (target / "input_0.pb").write_bytes(numpy_helper.from_array(pixels).SerializeToString())
        shutil.copy(path, target / "model.onnx")
        shutil.copy(DATA / "light" / f"{path.stem}_output_0.pb", target / "output_0.pb")
        count += 1
    print(f"{count} cases of onnx {onnx.__version__}")


if __name__ == "__main__":
    main()
