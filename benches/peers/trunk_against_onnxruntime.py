#!/usr/bin/env python3
"""Times regraft-trunk against ONNX Runtime on whole torchvision networks, in turn, so that both meet the same machine.

What for: a ratio says more than images per second of a machine that others use too. Each network is exported with
random weights by the TorchScript exporter where its file is not there yet; then one run of each side follows the other, and medians, minima and
the median ratio of neighbours are printed. Both use two threads; ONNX Runtime's do not spin while the other side runs.

Needs: Python 3.10, numpy, onnxruntime, torch and torchvision for the export, and the built example
(`cargo build --release -p regraft-trunk --example run`).

Run:   python benches/peers/trunk_against_onnxruntime.py --run target/release/examples/run --models FOLDER [NAME:BATCH …]
"""

import argparse
import os
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

NETWORKS = ["resnet18:16", "resnet50:8", "vgg16:4", "inception_v3:8"]


def export(name, path):
    import torch
    import torchvision

    extra = {"aux_logits": True, "init_weights": False} if name == "inception_v3" else {}
    model = getattr(torchvision.models, name)(weights=None, **extra).eval()
    size = 299 if name == "inception_v3" else 224
    torch.onnx.export(
        model,
        torch.randn(2, 3, size, size),
        str(path),
        dynamo=False,
        input_names=["input"],
        output_names=["logits"],
        dynamic_axes={"input": {0: "n"}, "logits": {0: "n"}},
    )


class Ours:
    def __init__(self, binary, path, batch):
        # Repeat 0: one run for every line.
        self.process = subprocess.Popen(
            [binary, str(path), str(batch), "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "RAYON_NUM_THREADS": "2"},
        )

    def seconds(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


class Theirs:
    def __init__(self, path, batch):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 2
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (given,) = self.session.get_inputs()
        shape = (batch, *given.shape[1:])
        self.feed = {given.name: np.random.default_rng(0).standard_normal(shape, dtype=np.float32)}

    def seconds(self):
        begin = time.perf_counter()
        self.session.run(None, self.feed)
        return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", required=True, help="the built example")
    parser.add_argument("--models", required=True, type=Path, help="folder of the ONNX files")
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    arguments = parser.parse_args()
    for network in arguments.networks:
        name, batch = network.split(":")
        path = arguments.models / f"{name}.onnx"
        if not path.exists():
            export(name, path)
        ours, theirs = Ours(arguments.run, path, int(batch)), Theirs(path, int(batch))
        ours.seconds(), theirs.seconds()
        pairs = [(theirs.seconds(), ours.seconds()) for _ in range(arguments.pairs)]
        ours.process.stdin.close()
        them, us = ([pair[side] for pair in pairs] for side in (0, 1))
        ratio = statistics.median(a / b for a, b in pairs)
        print(
            f"{name:16} batch {batch:3} ONNX Runtime {statistics.median(them):.3f} s (least {min(them):.3f})"
            f"  regraft {statistics.median(us):.3f} s (least {min(us):.3f})  ratio {ratio:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
