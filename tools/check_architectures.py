#!/usr/bin/env python3
"""Checks the networks that `regraft new` writes against torchvision's: names, shapes, counts, logits.

For each `NAME.onnx` in a folder, 1000 classes at the paper's image size:

    - onnx.checker accepts it, shapes included;
    - initializers have the names and shapes of torchvision's state_dict (without `num_batches_tracked`), the number of
      trainable values is torchvision's;
    - weights are as they should be at the start: the deviation of large layers is Kaiming's, batch norm is 1, 0, 0, 1, but 0
      where a residual branch ends;
    - torchvision with the file's weights gives ONNX Runtime's logits, to 1e-4 of the largest: once as they are, once with
      every batch norm redrawn, since a branch that starts at 0 says nothing.

torchvision has no pre-activation ResNets; these are checked against the short model below, written from the paper
(He et al. 2016b).

Needs: Python 3.10, numpy, onnx, onnxruntime, torch, torchvision.

Run:   cargo run --release -p regraft-arch --example write -- FOLDER
       python tools/check_architectures.py FOLDER
Exit code 1 if a check failed.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torchvision
from onnx import numpy_helper
from torch import nn

TOLERANCE = 1e-4
# A layer this large shows its deviation to a few per cent.
LARGE = 4096


class PreactUnit(nn.Module):
    def __init__(self, inputs, planes, stride, bottleneck, first):
        super().__init__()
        kernels = [(planes, 1, 1), (planes, 3, stride), (4 * planes, 1, 1)] if bottleneck else [(planes, 3, stride), (planes, 3, 1)]
        self.steps, self.first, channels = len(kernels), first, inputs
        for number, (outputs, kernel, step) in enumerate(kernels, 1):
            if not (first and number == 1):
                self.add_module(f"bn{number}", nn.BatchNorm2d(channels))
            self.add_module(f"conv{number}", nn.Conv2d(channels, outputs, kernel, step, kernel // 2, bias=False))
            channels = outputs
        self.downsample = None
        if stride != 1 or inputs != channels:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False))

    def forward(self, x):
        branch = activated = x
        for number in range(1, self.steps + 1):
            if hasattr(self, f"bn{number}"):
                branch = getattr(self, f"bn{number}")(branch).relu()
            if number == 1:
                activated = branch
            branch = getattr(self, f"conv{number}")(branch)
        return branch + (x if self.downsample is None else self.downsample(activated))


class PreactResNet(nn.Module):
    def __init__(self, counts, bottleneck):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for stage, count in enumerate(counts):
            units = []
            for index in range(count):
                planes, stride = 64 << stage, 2 if stage and not index else 1
                units.append(PreactUnit(channels, planes, stride, bottleneck, not stage and not index))
                channels = planes * (4 if bottleneck else 1)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*units))
        self.bn_final = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, 1000)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.bn_final(x).relu().mean((2, 3)))


def reference(name):
    """The network to compare with, and whose it is."""
    depths = {"preact_resnet18": ([2, 2, 2, 2], False), "preact_resnet34": ([3, 4, 6, 3], False), "preact_resnet50": ([3, 4, 6, 3], True)}
    if name in depths:
        return PreactResNet(*depths[name]), "the paper's"
    options = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return getattr(torchvision.models, name)(weights=None, **options), "torchvision's"


def redraw_norms(model):
    """Replaces every batch norm's four vectors by random ones, in the ONNX file."""
    random = np.random.default_rng(0)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "BatchNormalization":
            continue
        for name, (low, high) in zip(node.input[1:], [(0.5, 1.5), (-0.2, 0.2), (-0.2, 0.2), (0.5, 1.5)]):
            old = numpy_helper.to_array(tensors[name])
            new = random.uniform(low, high, old.shape).astype(np.float32)
            tensors[name].CopyFrom(numpy_helper.from_array(new, name))


def difference(model, network, weights, size):
    """Largest difference of the logits, relative to the largest logit."""
    network.load_state_dict({name: torch.from_numpy(values.copy()) for name, values in weights.items()}, strict=False)
    image = np.random.default_rng(1).standard_normal((2, 3, size, size), dtype=np.float32)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(["logits"], {"input": image})
    with torch.no_grad():
        ours = network(torch.from_numpy(image)).numpy()
    assert theirs.shape == ours.shape == (2, 1000), f"shapes {theirs.shape} and {ours.shape}"
    assert np.isfinite(ours).all() and np.abs(ours).max() > 0
    return float(np.abs(theirs - ours).max() / np.abs(ours).max())


def check_start(name, network, weights):
    """The initial values; returns the largest relative error of a large layer's deviation."""
    worst = 0.0
    last_linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    for path, module in network.named_modules():
        value = weights.get(f"{path}.weight")
        if isinstance(module, nn.BatchNorm2d):
            ends_branch = name.startswith("resnet") and path.endswith(".bn3" if name.endswith("50") else ".bn2")
            assert (value == (0 if ends_branch else 1)).all(), path
            for leaf, expected in [("bias", 0), ("running_mean", 0), ("running_var", 1)]:
                assert (weights[f"{path}.{leaf}"] == expected).all(), f"{path}.{leaf}"
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            assert f"{path}.bias" not in weights or (weights[f"{path}.bias"] == 0).all(), path
            if value.size < LARGE:
                continue
            fan_in = value[0].size
            fan_out = value.size // value.shape[1] // getattr(module, "groups", 1)
            forward = name in ("googlenet", "inception_v3") or isinstance(module, nn.Linear)
            expected = 0.01 if path == last_linear else (2 / (fan_in if forward else fan_out)) ** 0.5
            worst = max(worst, abs(value.std() / expected - 1))
            assert worst < 0.1, f"{path}: deviation {value.std()}, expected {expected}"
    return worst


def check(path):
    name = path.stem
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    assert (model.ir_version, model.opset_import[0].version, model.producer_name) == (8, 17, "regraft")
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    network, whose = reference(name)
    network.eval()
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items() if "num_batches" not in key}
    found = {key: value.shape for key, value in weights.items()}
    assert found == expected, f"missing {expected.keys() - found.keys()}, too many {found.keys() - expected.keys()}, or other shapes"
    trainable = {key for key, _ in network.named_parameters()}
    count = sum(value.size for key, value in weights.items() if key in trainable)
    assert count == sum(parameter.numel() for parameter in network.parameters())
    deviation = check_start(name, network, weights)

    size = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    plain = difference(model, network, weights, size)
    redraw_norms(model)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    redrawn = difference(model, network, weights, size)
    print(
        f"ok   {name}: {len(found)} initializers are {whose}, {count:,} parameters, deviations within {deviation:.1%}, "
        f"logits differ by {plain:.1e}, with other batch norms by {redrawn:.1e}",
        flush=True,
    )
    assert max(plain, redrawn) <= TOLERANCE


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    warnings.simplefilter("ignore")
    files = sorted(folder.glob("*.onnx"))
    failed = 0 if files else 1
    if not files:
        print(f"FAIL {folder}: no .onnx files in it")
    for path in files:
        try:
            check(path)
        except Exception as error:
            failed += 1
            print(f"FAIL {path}: {type(error).__name__}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
