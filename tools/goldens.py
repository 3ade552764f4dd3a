#!/usr/bin/env python3
"""Golden references for training: small-width networks of real topology, with PyTorch's gradients.

What for: what a network imported from ONNX computes, forward and backward, is compared with what PyTorch
computes for the network that the file was exported from, parameter by parameter, by name. Into the
output folder, per network NAME:

    NAME.safetensors         input [N, 3, H, W], labels [N], logits [N, classes] and, by parameter name,
                             frozen/loss, frozen/grad/P    batch norm by running statistics
                             updated/loss, updated/grad/P  batch norm by the batch's own (networks with batch norm)
                             updated/running/B             running statistics after that one step
                             sgd3/P, sgd3/B                after 3 steps of SGD (lr 0.001, momentum 0.9), updated mode
                                                           where there is batch norm
    NAME.folded.safetensors  the same for the network with batch norm folded into its convolutions, as the two
                             files that follow have it
    NAME.kept-OPSET.onnx     TorchScript exporter, TrainingMode.PRESERVE, nothing folded: batch norm kept
    NAME.folded-OPSET.onnx   TorchScript exporter as people use it: batch norm folded into convolutions
    NAME.dynamo.onnx         torch.export exporter, as torch writes it by default: folded too

References are computed in double precision and stored as float32. Of several seeds the first is taken with which no
reference depends on how float32 rounds: a ReLU's input near zero can switch a whole gradient on or off. Networks are torchvision's,
timm's and Hugging Face's own, built with every channel count divided by the given factor; weights are seeded, He-normal, with random batch
norm scales and shifts and running statistics measured on random images; dropout is off.

Needs: Python 3.10, torch, torchvision, timm, transformers, onnx, onnxscript, safetensors, numpy.

Run:   python tools/goldens.py OUT_DIR [--only resnet18 vgg16 ...]
"""

import argparse
import copy
import logging
import sys
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import onnx
import timm
import torch
import torchvision
import transformers
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision import models as zoo
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import MBConvConfig

CLASSES = 5
ROBUST = 2e-4  # of a reference's largest value
BATCH = 6


@contextmanager
def narrower(factor):
    """Within it, convolutions, norms and linear layers have 1/factor of the channels that they are asked for."""
    kept = {name: getattr(nn, name) for name in ("Conv2d", "BatchNorm2d", "Linear")}

    def scaled(count):
        return count if count in (1, 3, CLASSES) else max(1, count // factor)

    class Conv2d(kept["Conv2d"]):
        def __init__(self, in_channels, out_channels, *args, groups=1, **kwargs):
            # A depthwise convolution stays one; other groups are RegNet's and ResNeXt's, of as many channels as fit.
            groups = scaled(in_channels) if groups == in_channels else max(1, groups // factor if groups > 1 else 1)
            super().__init__(scaled(in_channels), scaled(out_channels), *args, groups=groups, **kwargs)

    class BatchNorm2d(kept["BatchNorm2d"]):
        def __init__(self, num_features, *args, **kwargs):
            super().__init__(scaled(num_features), *args, **kwargs)

    class Linear(kept["Linear"]):
        def __init__(self, in_features, out_features, *args, **kwargs):
            super().__init__(scaled(in_features), scaled(out_features), *args, **kwargs)

    for name, replacement in (("Conv2d", Conv2d), ("BatchNorm2d", BatchNorm2d), ("Linear", Linear)):
        setattr(nn, name, replacement)
        setattr(torch.nn, name, replacement)
    try:
        yield
    finally:
        for name, original in kept.items():
            setattr(nn, name, original)


def torchvision_network(make, factor, **options):
    def build():
        with narrower(factor):
            return make(weights=None, num_classes=CLASSES, **options)

    return build


def vgg(make, factor):
    """Real convolutions; the classifier keeps its three layers, but not their millions of weights."""

    def build():
        network = torchvision_network(make, factor)()
        channels = 512 // factor
        network.classifier = nn.Sequential(
            nn.Linear(channels, 24),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(24, 24),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(24, CLASSES),
        )
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        return network

    return build


class PreActivationBlock(nn.Module):
    """He 2016, "Identity mappings": norm and ReLU before each convolution, none after the sum."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        widens = stride != 1 or inputs != outputs
        self.downsample = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if widens else None

    def forward(self, x):
        y = F.relu(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(y)
        return shortcut + self.conv2(F.relu(self.bn2(self.conv1(y))))


class PreActivationResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        widths = [4, 8, 12, 16]
        previous = 4
        for index, width in enumerate(widths):
            blocks = [PreActivationBlock(previous, width, 1 if index == 0 else 2), PreActivationBlock(width, width, 1)]
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
            previous = width
        self.bn = nn.BatchNorm2d(previous)
        self.fc = nn.Linear(previous, CLASSES)

    def forward(self, x):
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        return self.fc(F.relu(self.bn(x)).mean([2, 3]))


def densenet():
    return zoo.DenseNet(growth_rate=4, block_config=(2, 3, 2, 2), num_init_features=8, bn_size=2, num_classes=CLASSES)


def efficientnet():
    config = partial(MBConvConfig, width_mult=1.0, depth_mult=1.0)
    stages = [
        config(1, 3, 1, 8, 8, 1),
        config(4, 3, 2, 8, 8, 2),
        config(4, 5, 2, 8, 16, 2),
        config(4, 3, 2, 16, 16, 1),
        config(4, 5, 1, 16, 24, 1),
        config(4, 3, 1, 24, 24, 1),
    ]
    return zoo.EfficientNet(stages, dropout=0.0, num_classes=CLASSES, last_channel=48)


def convnext():
    stages = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 24, 1), CNBlockConfig(24, 32, 2), CNBlockConfig(32, None, 1)]
    return zoo.ConvNeXt(stages, num_classes=CLASSES, layer_scale=0.5)


def vit():
    return zoo.VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=CLASSES)


def swin():
    """Windows, shifted and not, that are cut out in six dimensions, and tables of relative positions."""
    return zoo.SwinTransformer([4, 4], 8, [1, 2], [1, 2], [4, 4], stochastic_depth_prob=0.0, num_classes=CLASSES)


def convnextv2():
    """Global response normalisation (Woo 2023)."""
    return timm.models.convnext.ConvNeXt(depths=(1, 1, 2, 1), dims=(8, 16, 16, 24), use_grn=True, ls_init_value=None, num_classes=CLASSES)


def group_norm():
    block, norm = timm.models.resnet.BasicBlock, partial(timm.layers.GroupNorm, num_groups=4)
    return timm.models.resnet.ResNet(block, (1, 1, 1, 1), channels=(8, 16, 16, 32), stem_width=8, norm_layer=norm, num_classes=CLASSES)


def eca():
    """Attention over channels by a convolution over lines (Wang 2020)."""
    options = dict(block_args=dict(attn_layer="eca"), stem_width=8, channels=(8, 16, 16, 32))
    return timm.models.resnet.ResNet(timm.models.resnet.BasicBlock, (1, 1, 1, 1), num_classes=CLASSES, **options)


class HuggingFaceViT(nn.Module):
    def __init__(self):
        super().__init__()
        options = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
        configuration = transformers.ViTConfig(image_size=32, patch_size=8, num_labels=CLASSES, **options)
        self.network = transformers.ViTForImageClassification(configuration)

    def forward(self, x):
        return self.network(x).logits


# name: (build, image size, opsets with batch norm kept, opsets folded, dynamo)
NETWORKS = {
    "resnet18": (torchvision_network(zoo.resnet18, 32), 64, [7, 9, 11, 13, 17, 20], [12, 18], True),
    "resnet50": (torchvision_network(zoo.resnet50, 32), 64, [13], [], False),
    "preactivation": (PreActivationResNet, 32, [11], [], False),
    "vgg11_bn": (vgg(zoo.vgg11_bn, 32), 64, [8], [], False),
    "vgg16": (vgg(zoo.vgg16, 32), 64, [10], [], True),
    "googlenet": (
        torchvision_network(zoo.googlenet, 16, aux_logits=False, transform_input=True, init_weights=False),
        96,
        [14],
        [],
        False,
    ),
    "inception_v3": (
        torchvision_network(zoo.inception_v3, 16, aux_logits=False, transform_input=False, init_weights=False),
        107,
        [15],
        [],
        False,
    ),
    "densenet": (densenet, 64, [16], [9], True),
    "mobilenet_v2": (torchvision_network(zoo.mobilenet_v2, 8), 64, [12], [15], True),
    "mobilenet_v3": (torchvision_network(zoo.mobilenet_v3_small, 16), 64, [14], [], False),
    "efficientnet": (efficientnet, 64, [18], [], False),
    "shufflenet_v2": (torchvision_network(zoo.shufflenet_v2_x0_5, 8), 64, [11], [], True),
    "squeezenet": (torchvision_network(zoo.squeezenet1_0, 16), 64, [7], [], True),
    "convnext": (convnext, 64, [17], [], True),
    "vit": (vit, 32, [17], [], True),
    # The other exporter leaves its weights without names.
    "swin": (swin, 32, [17], [], False),
    "convnextv2": (convnextv2, 32, [17], [], True),
    "group_norm": (group_norm, 64, [17], [], True),
    "eca": (eca, 64, [17], [], True),
    "hf_vit": (HuggingFaceViT, 32, [17], [], True),
}

# So deep and narrow that few of their ReLUs may lie near the kink, where rounding decides.
CALM = {"inception_v3", "mobilenet_v2", "mobilenet_v3"}
NORMS = (nn.BatchNorm2d,)
# The module path that the dynamo exporter notes for a node.
SCOPES = "pkg.torch.onnx.name_scopes"


def prepare(build, size, seed, calm=False):
    """The network in eval mode, a batch of images and their labels; the same on every run."""
    torch.manual_seed(seed)
    network = build()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("layer_scale"):
                parameter.uniform_(0.3, 0.7)
            if ".grn." in name:
                parameter.normal_(0.0, 0.5)
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    module.bias.normal_(0.0, 0.1)
            elif isinstance(module, NORMS):
                module.weight.uniform_(0.3, 0.7) if calm else module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(1.0, 0.2) if calm else module.bias.normal_(0.3, 0.2)
            elif isinstance(module, (nn.LayerNorm, nn.GroupNorm)):
                # Equal initial values would be shared between layers by the exporter.
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0.0, 0.2)
            elif isinstance(module, nn.MultiheadAttention):
                # Zero biases would be one and the same for the exporter.
                nn.init.kaiming_normal_(module.in_proj_weight)
                module.in_proj_bias.normal_(0.0, 0.1)
            elif isinstance(module, nn.Dropout):
                module.p = 0.0
        measure_statistics(network, size)
    network.eval()
    images = torch.randn(BATCH, 3, size, size)
    labels = torch.arange(BATCH) % CLASSES
    return network, images, labels


def measure_statistics(network, size):
    norms = [module for module in network.modules() if isinstance(module, NORMS)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    if norms:
        network(torch.randn(32, 3, size, size))
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


def buffers(network):
    return {name: b for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var"))}


def set_mode(network, updated):
    network.eval()
    for module in network.modules():
        if updated and isinstance(module, NORMS):
            module.train()


def compute(network, images, labels):
    """Everything of NAME.safetensors, in the precision of `images`."""
    network = copy.deepcopy(network).to(images.dtype)
    normed = any(isinstance(module, NORMS) for module in network.modules())
    found = {"input": images, "labels": labels, "logits": network(images).detach()}
    for mode in ["frozen", "updated"] if normed else ["frozen"]:
        trial = copy.deepcopy(network)
        set_mode(trial, mode == "updated")
        loss = F.cross_entropy(trial(images), labels)
        loss.backward()
        found[f"{mode}/loss"] = loss.detach().reshape(1)
        for name, parameter in trial.named_parameters():
            found[f"{mode}/grad/{name}"] = parameter.grad
        if mode == "updated":
            for name, buffer in buffers(trial).items():
                found[f"updated/running/{name}"] = buffer
    trial = copy.deepcopy(network)
    set_mode(trial, normed)
    optimizer = torch.optim.SGD(trial.parameters(), lr=0.001, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(trial(images), labels).backward()
        optimizer.step()
    for name, value in [*trial.named_parameters(), *buffers(trial).items()]:
        found[f"sgd3/{name}"] = value.detach()
    return found


def nudged(network, images):
    """The same in double precision, everything moved by about as much as float32 rounds."""
    network, images = copy.deepcopy(network).double(), images.double()
    with torch.no_grad():
        for value in [*network.parameters(), images]:
            value *= 1 + 3e-7 * torch.randn_like(value)
    return network, images


def references(network, images, labels):
    """The references, and how far rounding moves them: (share of the largest value, name).

    A ReLU's input near zero or a batch norm over nearly equal values makes a gradient depend on the last bit.
    """
    exact = compute(network, images.double(), labels)
    worst = (0.0, "")
    trials = [compute(network, images, labels)]
    trials += [compute(*nudged(network, images), labels) for _ in range(12)]
    for moved in trials:
        for name in exact.keys() - {"input", "labels"}:
            scale = max(float(exact[name].abs().max()), 1e-3)
            worst = max(worst, (float((exact[name] - moved[name]).abs().max()) / scale, name))
    return exact, worst


def well_conditioned(build, size, versions, calm):
    """The first seed whose references rounding cannot move noticeably, with all that follows from it."""
    best = None
    for seed in range(40):
        network, images, labels = prepare(build, size, seed, calm)
        found = {}
        for suffix, make in versions.items():
            found[suffix] = references(make(network, images), images, labels)
        worst = max(worst for _, worst in found.values())
        if best is None or worst < best[0]:
            best = (worst, seed, network, images, {suffix: exact for suffix, (exact, _) in found.items()})
        if worst[0] < ROBUST:
            break
    return best


def folded(network, images):
    """The network with every batch norm that directly follows a convolution folded into it."""
    network = copy.deepcopy(network)
    producer, pairs = {}, []

    def remember(module, inputs, output):
        if isinstance(module, NORMS) and id(inputs[0]) in producer:
            pairs.append((producer[id(inputs[0])][0], module))
        if isinstance(module, nn.Conv2d):
            producer[id(output)] = (module, output)

    hooks = [module.register_forward_hook(remember) for module in network.modules()]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    for conv, norm in pairs:
        fused = fuse_conv_bn_eval(conv, norm).requires_grad_(True)
        for parent in network.modules():
            for name, child in parent.named_children():
                if child is conv:
                    setattr(parent, name, fused)
                elif child is norm:
                    setattr(parent, name, nn.Identity())
    return network


def export(network, images, path, **options):
    names = {"input_names": ["input"], "output_names": ["output"]}
    if options.pop("dynamo", False):
        shapes = ({0: torch.export.Dim("batch")},)
        options = {"dynamo": True, "external_data": False, "dynamic_shapes": shapes, "verbose": False}
    else:
        options |= {"dynamo": False, "dynamic_axes": {"input": {0: "batch"}, "output": {0: "batch"}}}
    torch.onnx.export(network, (images,), str(path), **names, **options)
    model = onnx.load(path)
    # Where and by what the script ran is nobody's business, and half of a dynamo file.
    for node in model.graph.node:
        node.ClearField("doc_string")
        kept = [prop for prop in node.metadata_props if prop.key == SCOPES]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    for value in model.graph.value_info:
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), metavar="NAME")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in arguments.only:
        build, size, kept_opsets, folded_opsets, dynamo = NETWORKS[name]
        normed = any(isinstance(module, NORMS) for module in build().modules())
        versions = {"": lambda network, images: network} if kept_opsets or not normed else {}
        if normed and (folded_opsets or dynamo):
            versions[".folded"] = folded
        worst, seed, network, images, found = well_conditioned(build, size, versions, name in CALM)
        print(f"     {name}: seed {seed}, rounding moves at most {worst[0]:.0e} ({worst[1]})", flush=True)
        for suffix, exact in found.items():
            stored = {key: value if key == "labels" else value.float() for key, value in exact.items()}
            # What is looked up in a table is trained, not the table.
            stored = {key: value for key, value in stored.items() if "bias_table" not in key}
            stored = {key: value.clone().contiguous() for key, value in stored.items()}
            save_file(stored, arguments.out / f"{name}{suffix}.safetensors")
        preserve = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
        jobs = [(f"kept-{opset}", preserve | {"opset_version": opset}) for opset in kept_opsets]
        jobs += [(f"folded-{opset}", {"opset_version": opset}) for opset in folded_opsets]
        jobs += [("dynamo", {"dynamo": True})] if dynamo else []
        for variant, options in jobs:
            path = arguments.out / f"{name}.{variant}.onnx"
            try:
                export(network, images, path, **options)
                print(f"ok   {path.name}: {path.stat().st_size // 1024} KiB", flush=True)
            except Exception as error:
                failed += 1
                print(f"FAIL {path.name}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
