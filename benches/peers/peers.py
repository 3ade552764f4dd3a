#!/usr/bin/env python3
"""regraft against PyTorch and ONNX Runtime: one table of ratios, measured on this machine in one run.

    cargo build --release
    python3 benches/peers/peers.py --regraft target/release/regraft --work FOLDER [--only resnet18,vgg16] [--rounds 3]

Makes a virtual environment in FOLDER with torch, torchvision and onnxruntime (several gigabytes the first time), exports
torchvision's networks with random weights, and measures in turn, so that both sides meet the same machine:

  trunk      a pass to the last cut, batch as below          against ONNX Runtime up to the same value
  full       a training step of everything, SGD, batch norm updated            against PyTorch eager
  last       a training step of the last block and the head, nothing cached    against PyTorch eager
  features   ten epochs of a feature extractor on 1,000 images, decoding included, against PyTorch's usual loop
  memory     peak resident memory of `full`                                    against PyTorch eager

Ratios above 1 are in regraft's favour (memory: below 1). Both sides use the threads that --threads says.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

BATCH = {"resnet18": 16, "resnet50": 8, "vgg16": 4, "inception_v3": 8}
SIZE = {"inception_v3": 299}
# The block that trains with the head, in torchvision's names.
LAST = {"resnet18": "layer4.1", "resnet50": "layer4.2", "vgg16": "features.28", "inception_v3": "Mixed_7c"}
STEPS = 5


def size_of(name):
    return SIZE.get(name, 224)


def prepare(work):
    """The virtual environment's Python."""
    python = work / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(work / "venv", with_pip=True)
    needed = "import torch, torchvision, onnxruntime, onnx, PIL"
    if subprocess.run([python, "-c", needed], stderr=subprocess.DEVNULL).returncode:
        packages = ["torch", "torchvision", "onnx", "onnxruntime", "numpy", "pillow"]
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return python


# What runs inside the virtual environment.


def model_of(name):
    import torch
    import torchvision

    torch.manual_seed(0)
    extra = {"aux_logits": True, "init_weights": False} if name == "inception_v3" else {}
    model = getattr(torchvision.models, name)(weights=None, **extra)
    if name == "inception_v3":
        model.aux_logits, model.AuxLogits = False, None
    return model


def export(name, path):
    import torch

    model = model_of(name).eval()
    image = torch.zeros(1, 3, size_of(name), size_of(name))
    axes = {"input": {0: "n"}, "logits": {0: "n"}}
    torch.onnx.export(
        model, (image,), str(path), dynamo=False, input_names=["input"], output_names=["logits"], dynamic_axes=axes,
        do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE,
    )


def images(folder, count, size, classes=10):
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    for index in range(count):
        target = folder / f"class{index % classes}"
        target.mkdir(parents=True, exist_ok=True)
        coarse = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((size, size), Image.BICUBIC).save(target / f"{index}.jpg", quality=90)


def with_head(name, classes):
    import torch

    model = model_of(name)
    if name == "vgg16":
        # regraft's new head takes the place of all three linear layers, behind a global pooling.
        model.avgpool = torch.nn.AdaptiveAvgPool2d(1)
        model.classifier = torch.nn.Linear(512, classes)
    else:
        model.fc = torch.nn.Linear(model.fc.in_features, classes)
    return model


def torch_steps(name, what):
    """Median seconds of a training step, and peak memory in bytes."""
    import torch

    model = with_head(name, 2).train()
    if what == "last":
        head = "classifier" if name == "vgg16" else "fc"
        for parameter_name, parameter in model.named_parameters():
            parameter.requires_grad = parameter_name.startswith((LAST[name] + ".", head))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.001, momentum=0.9)
    batch = torch.randn(BATCH[name], 3, size_of(name), size_of(name))
    labels = torch.arange(BATCH[name]) % 2
    seconds = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(batch), labels).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": statistics.median(seconds[1:]), "peak": peak}


def torch_features(name, folder, batch=32, epochs=1):
    """Seconds of one epoch of the usual loop: frozen trunk in every epoch, decoding included."""
    import torch
    import torchvision
    from torchvision import transforms

    model = with_head(name, 10)
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad = parameter_name.startswith(("fc", "classifier"))
    model.eval()
    to_tensor = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(size_of(name)), transforms.ToTensor()]
    )
    data = torchvision.datasets.ImageFolder(folder, to_tensor)
    loader = torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    start = time.perf_counter()
    for _ in range(epochs):
        for pixels, labels in loader:
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(pixels), labels).backward()
            optimizer.step()
    return {"seconds": (time.perf_counter() - start) / epochs}


def ort_trunk(name, path, threads):
    """Median seconds of a pass up to the features."""
    import numpy as np
    import onnx
    import onnxruntime

    model = onnx.load(path)
    flat = next(node for node in model.graph.node if node.op_type in ("Flatten", "Reshape"))
    value = flat.input[0]
    cut = path.with_suffix(".trunk.onnx")
    onnx.utils.extract_model(str(path), str(cut), [model.graph.input[0].name], [value])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(cut), options, providers=["CPUExecutionProvider"])
    pixels = np.random.rand(BATCH[name], 3, size_of(name), size_of(name)).astype(np.float32)
    seconds = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        session.run(None, {model.graph.input[0].name: pixels})
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds[1:])}


def inside(arguments):
    import torch

    torch.set_num_threads(arguments.threads)
    name, work = arguments.name, Path(arguments.work)
    result = {
        "export": lambda: export(name, work / f"{name}.onnx"),
        "images": lambda: images(work / f"images-{name}", 1000, 256, 10),
        "steps": lambda: images(work / f"steps-{name}", BATCH[name] * (STEPS + 1), size_of(name), 2),
        "full": lambda: torch_steps(name, "full"),
        "last": lambda: torch_steps(name, "last"),
        "features": lambda: torch_features(name, work / f"images-{name}"),
        "trunk": lambda: ort_trunk(name, work / f"{name}.onnx", arguments.threads),
    }[arguments.inside]()
    print(json.dumps(result))


# What runs outside.


class Peers:
    def __init__(self, arguments):
        self.work = Path(arguments.work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.python = prepare(self.work) if arguments.python is None else arguments.python
        self.regraft = str(Path(arguments.regraft).resolve())
        self.threads = arguments.threads
        self.rounds = arguments.rounds

    def torch(self, name, what):
        command = [self.python, __file__, "--inside", what, "--name", name]
        command += ["--work", self.work, "--threads", str(self.threads)]
        done = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout.splitlines()[-1])

    def ours(self, words):
        environment = {**os.environ, "RAYON_NUM_THREADS": str(self.threads)}
        done = subprocess.Popen([self.regraft, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        output = done.stdout.read()
        _, status, usage = os.wait4(done.pid, 0)
        if status:
            raise SystemExit(f"regraft {' '.join(words)} failed")
        return output, usage.ru_maxrss * 1024

    def files(self, name):
        if not (self.work / f"{name}.onnx").exists():
            self.torch(name, "export")
        for kind in ("images", "steps"):
            if not (self.work / f"{kind}-{name}").exists():
                self.torch(name, kind)
        tensor = self.work / f"{name}.npy"
        if not tensor.exists():
            code = "import numpy, sys; numpy.save(sys.argv[1], numpy.random.rand(*map(int, sys.argv[2:])).astype('f4'))"
            shape = [BATCH[name], 3, size_of(name), size_of(name)]
            subprocess.run([str(self.python), "-c", code, str(tensor), *map(str, shape)], check=True)
        return tensor

    def our_trunk(self, name, tensor):
        words = ["run", str(self.work / f"{name}.onnx"), "--input", str(tensor), "--trunk"]
        output, _ = self.ours([*words, "--repeat", str(STEPS), "--json"])
        return {"seconds": statistics.median(json.loads(output)["seconds"])}

    def our_steps(self, name, policy):
        run = self.work / "run"
        settings = [
            f"freeze.policy={policy}",
            "freeze.batch_norm=updated",
            "train.epochs=1",
            f"train.batch_size={BATCH[name]}",
            "train.optimizer=sgd",
            "train.lr=0.001",
            "train.feature_cache=off",
            "data.validation=0",
            f"data.preprocess.size={size_of(name)}",
            f"device.threads={self.threads}",
        ]
        words = ["train", "--model", str(self.work / f"{name}.onnx"), "--data", str(self.work / f"steps-{name}")]
        words += ["--out", str(run), "--overwrite", "-q"]
        _, peak = self.ours(words + [word for setting in settings for word in ("--set", setting)])
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        seconds = [line["step_seconds"] for line in lines if "step_seconds" in line]
        return {"seconds": statistics.median(seconds[1:]), "peak": peak}

    def our_features(self, name):
        words = ["train", "--model", str(self.work / f"{name}.onnx"), "--data", str(self.work / f"images-{name}")]
        words += ["--out", str(self.work / "run"), "--overwrite", "-q"]
        for setting in ("freeze.policy=feature-extractor", "train.epochs=10", "data.validation=0", f"data.preprocess.size={size_of(name)}"):
            words += ["--set", setting]
        start = time.perf_counter()
        self.ours(words)
        return {"seconds": time.perf_counter() - start}

    def row(self, name, measured):
        tensor = self.files(name)
        pairs = {
            "trunk": (lambda: self.our_trunk(name, tensor), lambda: self.torch(name, "trunk")),
            "full": (lambda: self.our_steps(name, '"full"'), lambda: self.torch(name, "full")),
            "last": (lambda: self.our_steps(name, '{ last-blocks = 1 }'), lambda: self.torch(name, "last")),
            "features": (lambda: self.our_features(name), lambda: self.torch(name, "features")),
        }
        for what in measured:
            ours, theirs = pairs[what]
            found = [(ours(), theirs()) for _ in range(self.rounds if what != "features" else 1)]
            # Ten epochs on both sides; PyTorch's are alike, so one of them is timed.
            factor = 10 if what == "features" else 1
            ratio = statistics.median(factor * b["seconds"] / a["seconds"] for a, b in found)
            mine = statistics.median(a["seconds"] for a, _ in found)
            peer = factor * statistics.median(b["seconds"] for _, b in found)
            print(f"| {name} | {what} | {mine:.3f} s | {peer:.3f} s | {ratio:.2f} |", flush=True)
            if what == "full":
                mine = statistics.median(a["peak"] for a, _ in found) / 2**20
                peer = statistics.median(b["peak"] for _, b in found) / 2**20
                print(f"| {name} | memory | {mine:.0f} MiB | {peer:.0f} MiB | {mine / peer:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regraft")
    parser.add_argument("--work", required=True)
    parser.add_argument("--only", default=",".join(BATCH))
    parser.add_argument("--measure", default="trunk,full,last,features")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--python", help="a Python that has the packages, instead of the virtual environment")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return inside(arguments)
    peers = Peers(arguments)
    print("| network | what | regraft | peer | ratio |\n|---|---|---|---|---|")
    for name in arguments.only.split(","):
        peers.row(name, arguments.measure.split(","))


if __name__ == "__main__":
    sys.exit(main())
