#!/usr/bin/env python3
"""Holds what `regraft plan` estimates against what `regraft train` takes: peak memory and time.

What for: the table of estimates in docs/performance.md. SqueezeNet 1.1, ResNet-50 and VGG-16, three policies each, on a few
of the repository's images at 224 pixels.

Needs: Python 3.9 on Linux, nothing else, and a machine with nothing else to do.

Run:   python tools/estimates.py target/release/regraft
"""

import json
import os
import subprocess
import sys
import tempfile

regraft = os.path.abspath(sys.argv[1])
images = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "models", "emoji", "train")
print("| network | policy | memory, estimated | measured | ratio | time, estimated | measured | ratio |")
print("|---|---|---|---|---|---|---|---|")
with tempfile.TemporaryDirectory() as folder:
    for name in ["squeezenet1.1", "resnet50", "vgg16"]:
        model = name
        if name != "squeezenet1.1":
            model = os.path.join(folder, f"{name}.onnx")
            subprocess.run([regraft, "new", name, "--classes", "10", "--out", model], check=True, capture_output=True)
        for policy in ["feature-extractor", "last-blocks=2", "full"]:
            words = [model, images, "--policy", policy, "--size", "224", "--batch-size", "16", "--epochs", "2", "--json"]
            words += ["--set", "data.per_class=5"]
            plan = subprocess.run([regraft, "plan", *words], check=True, capture_output=True)
            plan = json.loads(plan.stdout)
            out = os.path.join(folder, f"{name}-{policy}")
            run = subprocess.Popen(
                [regraft, "train", *words, "--out", out], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            summary = json.loads(run.stdout.read())
            _, _, usage = os.wait4(run.pid, 0)
            memory = [plan["estimates"][0]["memory_bytes"] / 2**20, usage.ru_maxrss / 2**10]
            seconds = [plan["time"]["seconds"], summary["seconds"]]
            print(
                f"| {name} | {policy} | {memory[0]:.0f} MiB | {memory[1]:.0f} MiB | {memory[0] / memory[1]:.2f}"
                f" | {seconds[0]:.1f} s | {seconds[1]:.1f} s | {seconds[0] / seconds[1]:.2f} |",
                flush=True,
            )
