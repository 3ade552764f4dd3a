#!/usr/bin/env python3
"""Exports torchvision networks with seeded random weights to ONNX, in the ways people export them.

What for: models of real topology to test an ONNX reader against, each with an input and the output
that ONNX Runtime computes for it. Per network NAME, into the output folder:

    NAME-legacy.onnx   TorchScript exporter, opset 13, constants folded: batch norm is in the convolutions
    NAME-bn.onnx       TorchScript exporter, opset 13, TrainingMode.PRESERVE, nothing folded: batch norm kept
    NAME-dynamo.onnx   torch.export exporter at its own opset, as torch writes it by default
    STEM.input.npy     float32 [2, 3, H, W], the same for the three
    STEM.output.npy    ONNX Runtime (CPU, graph optimisations disabled), checked against torch
    index.json         per file: opset, op types, initializer names, sizes, differences, failures

googlenet-ti and inception_v3-ti have transform_input=True, the plain names False. The batch
dimension is dynamic. The weights are not a trained network's but behave like one's: He-normal
kernels, random batch norm scales and shifts, running statistics measured on random images, so that
neither a forgotten normalisation nor a mixed-up channel goes unnoticed.

Needs: Python 3.10, torch, torchvision, onnx, onnxscript, onnxruntime, numpy.

Run:   python tools/export_references.py OUT_DIR [--only resnet18 vgg11 ...] [--variants legacy bn dynamo]
Exit code 1 if an export failed or disagreed with torch.
"""

import argparse
import json
import logging
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torchvision.models as zoo
from torch import nn

VARIANTS = ["legacy", "bn", "dynamo"]

# VGG and AlexNet pool adaptively to 7x7 and 6x6: ONNX can only say so where the map has that size.
# Inception v3 has two unpadded reductions and a stem that takes 75 pixels to get through.
NETWORKS = {
    "resnet18": (zoo.resnet18, {}, 64),
    "resnet50": (zoo.resnet50, {}, 64),
    "squeezenet1_1": (zoo.squeezenet1_1, {}, 64),
    "mobilenet_v2": (zoo.mobilenet_v2, {}, 64),
    "densenet121": (zoo.densenet121, {}, 64),
    "googlenet": (zoo.googlenet, {"aux_logits": False, "transform_input": False, "init_weights": False}, 96),
    "googlenet-ti": (zoo.googlenet, {"aux_logits": False, "transform_input": True, "init_weights": False}, 96),
    "inception_v3": (zoo.inception_v3, {"aux_logits": False, "transform_input": False, "init_weights": False}, 96),
    "inception_v3-ti": (zoo.inception_v3, {"aux_logits": False, "transform_input": True, "init_weights": False}, 96),
    "alexnet": (zoo.alexnet, {}, 224),
    "vgg11": (zoo.vgg11, {"init_weights": False}, 224),
    "vgg11_bn": (zoo.vgg11_bn, {"init_weights": False}, 224),
}

TOLERANCE = 1e-4  # of the largest |logit|


def build(name):
    """The network in eval mode and its input, both the same on every run."""
    make, options, size = NETWORKS[name]
    torch.manual_seed(20240607)
    network = make(weights=None, **options)
    norms = []
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    module.bias.normal_(0.0, 0.1)
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0.0, 0.2)
                norms.append((module, module.momentum))
                module.momentum = 1.0
        if norms:
            network.eval()
            for module, _ in norms:
                module.train()
            # Many samples per channel: where few pixels are left, a few images would underestimate
            # variances, and the network would amplify rounding errors.
            network(torch.randn(48, 3, max(size, 128), max(size, 128)))
            for module, momentum in norms:
                module.momentum = momentum
        return network.eval(), torch.randn(2, 3, size, size)


def export(network, example, variant, path):
    if variant == "dynamo":
        torch.onnx.export(
            network,
            (example,),
            str(path),
            dynamo=True,
            external_data=False,
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        return
    options = {}
    if variant == "bn":
        options = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    torch.onnx.export(
        network,
        (example,),
        str(path),
        dynamo=False,
        opset_version=13,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
        **options,
    )


def infer(path, tensor):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: tensor})[0]


def describe(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    counts = {}
    for node in model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return {
        "ir_version": model.ir_version,
        "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "bytes": path.stat().st_size,
        "ops": dict(sorted(counts.items())),
        "functions": len(model.functions),
        "input_dims": [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim],
        "initializers": [tensor.name for tensor in model.graph.initializer],
    }


def export_checked(network, example, expected, variant, out, stem):
    """One file with its arrays; returns its entry of the index."""
    path = out / f"{stem}.onnx"
    export(network, example, variant, path)
    entry = describe(path)
    output = infer(path, example.numpy())
    difference = float(np.abs(output - expected).max() / np.abs(expected).max())
    # The batch is dynamic: the first image alone must give the first row.
    single = infer(path, example.numpy()[:1])
    difference_single = float(np.abs(single - expected[:1]).max() / np.abs(expected).max())
    entry |= {"difference": difference, "difference_batch_1": difference_single}
    np.save(out / f"{stem}.input.npy", example.numpy())
    np.save(out / f"{stem}.output.npy", output)
    if not max(difference, difference_single) <= TOLERANCE:
        entry["failure"] = f"differs from torch by {max(difference, difference_single):.3g}"
    return entry


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    arguments = parser.parse_args()

    warnings.filterwarnings("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    index_path = arguments.out / "index.json"
    index = json.loads(index_path.read_text()) if index_path.exists() else {}
    failed = []
    for name in arguments.only:
        network, example = build(name)
        with torch.no_grad():
            expected = network(example).numpy()
        for variant in arguments.variants:
            stem = f"{name}-{variant}"
            began = time.time()
            try:
                entry = export_checked(network, example, expected, variant, arguments.out, stem)
            except Exception as error:
                traceback.print_exc()
                entry = {"failure": f"{type(error).__name__}: {error}"[:2000]}
            index[stem] = entry
            index_path.write_text(json.dumps(index, indent=1) + "\n")
            if "failure" in entry:
                failed.append(stem)
                print(f"FAIL {stem}: {entry['failure'].splitlines()[0]}", flush=True)
            else:
                print(
                    f"ok   {stem}: opset {entry['opset']}, {entry['bytes'] / 1e6:.1f} MB, "
                    f"max|logit| {np.abs(expected).max():.4g}, rel. difference {entry['difference']:.2g}, "
                    f"{time.time() - began:.0f} s",
                    flush=True,
                )
    print(f"{len(failed)} failed" + (": " + " ".join(failed) if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
