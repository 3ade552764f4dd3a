#!/usr/bin/env python3
"""Full-size networks of timm, torchvision and Keras through `regraft run`, against the framework that made them.

What for: the committed goldens are small; this shows that the real ones import and compute the same, from every exporter
that people use. A line per network and exporter:

    NETWORK EXPORTER  largest difference of the logits over their largest value, and what float32 itself loses (PyTorch in
                      float32 against float64)

Weights are random but behave like a trained network's: He-normal kernels, random scales, and running statistics measured
on random images. Nothing is downloaded.

Needs: Python 3.10, numpy; torch, torchvision, timm, onnx, onnxscript for `timm:` and `torchvision:` names; tensorflow 2.15
and tf2onnx for `keras:` names.

Run:   python tools/full_size.py --regraft target/release/regraft --work FOLDER \\
           [--exporters legacy,fixed,dynamo] timm:resnetv2_50 torchvision:vit_b_16 keras:MobileNetV2 ...
Exit code 1 if a network differs by more than 1e-4, or five times what float32 loses, whichever is more.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

TOLERANCE = 1e-4


def torch_network(source, name):
    import torch
    from torch import nn

    torch.manual_seed(0)
    if source == "timm":
        import timm

        model = timm.create_model(name, pretrained=False, exportable=True)
        channels, height, width = model.default_cfg["input_size"]
    else:
        import torchvision

        extra = {"aux_logits": False, "init_weights": False} if name in ("inception_v3", "googlenet") else {}
        model = getattr(torchvision.models, name)(weights=None, **extra)
        channels, height, width = 3, *((299, 299) if name == "inception_v3" else (224, 224))
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        elif getattr(module, "running_mean", None) is not None:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            # What the images below give, not a moving average from zero.
            module.momentum = None
        elif isinstance(module, nn.LayerNorm) and module.weight is not None:
            nn.init.uniform_(module.weight, 0.5, 1.5)
    for name, parameter in model.named_parameters():
        if name.endswith(("cls_token", "class_token", "pos_embed", "pos_embedding", "layer_scale", "gamma")):
            nn.init.normal_(parameter, std=0.5)
    model.train()
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(4, channels, height, width))
    return model.eval(), torch.randn(2, channels, height, width)


def torch_files(model, images, exporters, stem):
    import torch

    axes = {"input": {0: "n"}, "logits": {0: "n"}}
    for exporter in exporters:
        path = stem.with_name(f"{stem.name}.{exporter}.onnx")
        try:
            if exporter == "dynamo":
                batch = torch.export.Dim("n", min=1, max=64)
                torch.onnx.export(model, (images,), str(path), dynamo=True, dynamic_shapes=({0: batch},), external_data=False, verbose=False)
            else:
                example = images if exporter == "legacy" else images[:1]
                torch.onnx.export(
                    model, (example,), str(path), dynamo=False, opset_version=17, input_names=["input"],
                    output_names=["logits"], dynamic_axes=axes if exporter == "legacy" else None,
                )
            yield exporter, path
        except Exception as error:
            print(f"{stem.name} {exporter}: not exported: {str(error).splitlines()[0][:150]}")


def torch_case(source, name, exporters, stem):
    import torch

    model, images = torch_network(source, name)
    with torch.no_grad():
        expected = model(images).numpy()
        exact = model.double()(images.double()).numpy()
        model.float()
    lost = np.abs(expected - exact).max() / np.abs(exact).max()
    for exporter, path in torch_files(model, images, exporters, stem):
        yield exporter, path, images.numpy(), exact, lost


def keras_case(name, stem):
    import tensorflow as tf
    import tf2onnx

    tf.keras.utils.set_random_seed(0)
    model = getattr(tf.keras.applications, name)(weights=None, classifier_activation=None)
    draw = np.random.default_rng(0)
    for layer in model.layers:
        # Scale, shift, mean, variance.
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.set_weights([draw.uniform(0.5, 1.5, w.shape).astype("f4") for w in layer.get_weights()])
    images = draw.standard_normal((2, *model.input_shape[1:])).astype("f4")
    expected = model(images, training=False).numpy()
    for exporter, batch in (("tf2onnx", None), ("tf2onnx-fixed", 1)):
        path = stem.with_name(f"{stem.name}.{exporter}.onnx")
        signature = [tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32, name="input")]
        tf2onnx.convert.from_keras(model, input_signature=signature, opset=15, output_path=str(path))
        yield exporter, path, images, expected, 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="SOURCE:NAME")
    parser.add_argument("--regraft", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--exporters", default="legacy,fixed,dynamo")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for network in arguments.networks:
        source, name = network.split(":")
        stem = arguments.work / name
        cases = keras_case(name, stem) if source == "keras" else torch_case(source, name, arguments.exporters.split(","), stem)
        for exporter, path, images, expected, lost in cases:
            given, found = stem.with_suffix(".in.npy"), stem.with_suffix(".out.npy")
            np.save(given, images)
            found.unlink(missing_ok=True)
            command = [arguments.regraft, "run", path, "--input", given, "--output", found]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                wrong += 1
                print(f"{name} {exporter}: REFUSED {done.stderr.strip()[:400]}", flush=True)
                continue
            difference = np.abs(np.load(found) - expected).max() / np.abs(expected).max()
            verdict = "" if difference <= max(TOLERANCE, 5 * lost) else "  DIFFERS"
            wrong += bool(verdict)
            print(f"{name} {exporter}: {difference:.1e} (float32 itself {lost:.1e}){verdict}", flush=True)
            os.unlink(path)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
