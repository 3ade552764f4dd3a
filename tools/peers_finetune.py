"""Two well-known transfer-learning recipes on small classification tasks, with the weights of an ONNX file.

    python tools/peers_finetune.py SUITE OUT --networks a.onnx,b.onnx [--tasks stamps,count]
        [--recipes "fastai 5,keras 10 5"] [--images 10,50,all] [--seeds 1,2,3] [--batch 64]
        [--stop 22:35] [--table]

What for: to set beside regraft's own figures what other tools reach from the same weights. SUITE holds a folder a task, each
with `train/<class>/` and `test/<class>/`. Every run is one line of OUT/peers.jsonl; runs that are there are not repeated, so
that it may be stopped at any time. `--stop` starts no run after that time of day (UTC). Ends with a table of test accuracies
in Markdown, as means over seeds; `--table` prints only that.

The network is converted by onnx2torch and cut before its global average pool, or, where the classifier is a convolution
before the pool (SqueezeNet), before that convolution. The cut network is compared with ONNX Runtime first. Images are
squashed to 96 x 96 pixels; mean, deviation and channel order are those in the metadata of the ONNX file.

`fastai N` is fastai itself: `Learner(...).fine_tune(N)` with its defaults. These are one epoch with all but the head and the
batch norms frozen, then N epochs of everything, base_lr 2e-3, lower rates for the earlier layers, the one-cycle schedule,
Adam with weight decay 0.01, batches of 64 (the last, smaller one is dropped), the head of `vision_learner` (mean and maximum,
batch norm, dropout, two linear layers) and `aug_transforms(size=96)`. Parameters are split as fastai splits them: SqueezeNet
in three groups, other networks in body and head.

`keras N1 N2` is the recipe of Keras' transfer-learning guide, written in PyTorch: N1 epochs of a dense layer after mean and
dropout 0.2, with the rest frozen and in inference mode, by Adam at 1e-3; then N2 epochs of everything at 1e-5, where batch
norms stay in inference mode. Horizontal flips and rotations by up to 0.1 of a turn; batches of 32, as in the guide's older
text, whose numbers of epochs are 20 and 10 (now 2 and 1).

Both recipes flip images horizontally by default. That is kept, though it harms tasks where left and right differ.
`--batch` replaces the batch size of both; such runs are listed with it. Test images are looked at once, after training.

`seconds` and `cpu` (user and system time of the process) are those of decoding, training and evaluation on two threads,
without the import of PyTorch and the conversion. On a busy machine only `cpu` means something.

Needs: Python 3.10, torch, torchvision, onnx, onnx2torch, onnxruntime, fastai (which needs plum-dispatch below 2.10).
"""

import argparse
import json
import os
import random
import resource
import time
from datetime import datetime, timezone
from pathlib import Path
from statistics import mean

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait don't count as CPU time

import numpy as np
import onnx
import onnx2torch
import onnxruntime
import torch
from fastai.callback.core import Callback, CancelValidException
from fastai.data.all import CategoryBlock, DataBlock, FuncSplitter, Normalize, parent_label
from fastai.torch_core import apply_init, params, set_seed
from fastai.vision.all import ImageBlock, Learner, Resize, accuracy, aug_transforms, create_head
from PIL import Image
from torch import nn
from torch.nn import functional

SIZE = 96
THREADS = 2
RECIPES = "fastai 5,keras 10 5,fastai 3,fastai 10,keras 20 10"
CONVOLUTIONS_BEFORE_SPLIT = 7  # of SqueezeNet: the stem and two fire modules, which is where fastai splits it


class Body(nn.Module):
    """The network up to its last feature map, for images in RGB order."""

    def __init__(self, features, flip_channels):
        super().__init__()
        self.features = features
        self.flip_channels = flip_channels

    def forward(self, x):
        if self.flip_channels:
            x = x.flip(1)
        return self.features(x.contiguous(memory_format=torch.channels_last))


class Network:
    """A classifier's ONNX file without its classifier."""

    def __init__(self, path):
        self.name = path.stem
        model = onnx.load(path)
        preprocessing = json.loads({p.key: p.value for p in model.metadata_props}["preprocessing"])
        self.flip_channels = preprocessing["channels"] == "bgr"
        order = -1 if self.flip_channels else 1
        # of images from 0 to 1 in RGB order
        unit = 255 * preprocessing["scale"]
        self.mean = [value / unit for value in preprocessing["mean"]][::order]
        self.std = [value / unit for value in preprocessing["std"]][::order]
        producers = {output: node for node in model.graph.node for output in node.output}
        kinds = [node.op_type for node in model.graph.node]
        pool = model.graph.node[kinds.index("GlobalAveragePool")]
        cut = pool.input[0]
        self.classifier_is_convolution = "Gemm" not in kinds
        if self.classifier_is_convolution:
            while producers[cut].op_type != "Conv":
                cut = producers[cut].input[0]
            cut = producers[cut].input[0]
        source = model.graph.input[0].name
        self.model = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model([source], [cut])
        self.channels = self.check()

    def body(self):
        features = onnx2torch.convert(self.model)
        for module in features.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.1  # PyTorch's meaning of the word is one minus ONNX's
        return Body(features, self.flip_channels).to(memory_format=torch.channels_last)

    def check(self):
        """Compares the features with ONNX Runtime's; returns the number of channels."""
        images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        images = (images - torch.tensor(self.mean).view(3, 1, 1)) / torch.tensor(self.std).view(3, 1, 1)
        with torch.no_grad():
            ours = self.body().eval()(images).numpy()
        if self.flip_channels:
            images = images.flip(1)
        session = onnxruntime.InferenceSession(self.model.SerializeToString(), providers=["CPUExecutionProvider"])
        theirs = session.run(None, {session.get_inputs()[0].name: images.numpy()})[0]
        error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        print(f"{self.name}: {ours.shape[1]} channels, differs from ONNX Runtime by {error:.1e} of the largest value", flush=True)
        assert error < 1e-4
        return ours.shape[1]

    def groups(self, model):
        """Groups of parameters as fastai splits them."""
        body, head = model
        if not self.classifier_is_convolution:
            return [params(body), params(head)]
        early, late, seen = [], [], 0
        for module in body.modules():
            if isinstance(module, nn.Conv2d):
                (early if seen < CONVOLUTIONS_BEFORE_SPLIT else late).extend(module.parameters())
                seen += 1
        assert len(early) + len(late) == len(params(body))
        return [early, late, params(head)]


def split(task, images, seed):
    """The files of a task to train on and to test on."""
    train = []
    for folder in sorted(path for path in (task / "train").iterdir() if path.is_dir()):
        files = sorted(folder.iterdir())
        if images != "all":
            random.Random(seed).shuffle(files)
            files = files[: int(images)]
        train += files
    return train, sorted((task / "test").glob("*/*"))


class TrainOnly(Callback):
    """Leaves out the validation after every epoch."""

    def before_validate(self):
        raise CancelValidException


def fastai(network, train, test, seed, batch, epochs):
    set_seed(seed)
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=lambda _: train + test,
        get_y=parent_label,
        splitter=FuncSplitter(set(test).__contains__),
        item_tfms=Resize(SIZE, method="squish"),
        batch_tfms=[*aug_transforms(size=SIZE), Normalize.from_stats(network.mean, network.std, cuda=False)],
    )
    loaders = block.dataloaders(None, bs=batch or 64, num_workers=0, device=torch.device("cpu"))
    head = create_head(network.channels, loaders.c)
    apply_init(head, nn.init.kaiming_normal_)
    learner = Learner(loaders, nn.Sequential(network.body(), head), splitter=network.groups, metrics=accuracy)
    only = TrainOnly()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs, cbs=only)
        return float(learner.validate()[1])


def decode(files):
    images = [Image.open(file).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR) for file in files]
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)


def flip_and_rotate(images):
    """Keras' RandomFlip("horizontal") and RandomRotation(0.1), which fills by reflection."""
    count = len(images)
    angle = (torch.rand(count) * 2 - 1) * 0.1 * 2 * torch.pi
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    zero = torch.zeros(count)
    rows = [torch.stack([angle.cos() * mirror, -angle.sin() * mirror, zero], 1), torch.stack([angle.sin(), angle.cos(), zero], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def keras(network, train, test, seed, batch, frozen_epochs, tuned_epochs):
    set_seed(seed)
    classes = sorted({file.parent.name for file in train})
    label = lambda files: torch.tensor([classes.index(file.parent.name) for file in files])
    images, labels = decode(train), label(train)
    shift, scale = torch.tensor(network.mean).view(3, 1, 1), torch.tensor(network.std).view(3, 1, 1)
    normalise = lambda pixels: (pixels - shift) / scale
    body = network.body().eval()
    dense = nn.Linear(network.channels, len(classes))
    nn.init.xavier_uniform_(dense.weight)
    nn.init.zeros_(dense.bias)

    def fit(epochs, parameters, rate, body_learns):
        optimizer = torch.optim.Adam(parameters, lr=rate, eps=1e-7)
        for _ in range(epochs):
            for indices in torch.randperm(len(images)).split(batch or 32):
                inputs = normalise(flip_and_rotate(images[indices].float() / 255))
                with torch.set_grad_enabled(body_learns):
                    features = body(inputs).mean((2, 3))
                loss = functional.cross_entropy(dense(functional.dropout(features, 0.2)), labels[indices])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    fit(frozen_epochs, list(dense.parameters()), 1e-3, body_learns=False)
    fit(tuned_epochs, [*body.parameters(), *dense.parameters()], 1e-5, body_learns=True)
    with torch.no_grad():
        answers = [dense(body(normalise(part.float() / 255)).mean((2, 3))).argmax(1) for part in decode(test).split(64)]
    return float((torch.cat(answers) == label(test)).float().mean())


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run(network, task, recipe, images, seed, batch):
    name, *epochs = recipe.split()
    train, test = split(task, images, int(seed))
    start, cpu = time.time(), cpu_seconds()
    reached = {"fastai": fastai, "keras": keras}[name](network, train, test, int(seed), batch, *map(int, epochs))
    return {"accuracy": reached, "seconds": time.time() - start, "cpu": cpu_seconds() - cpu, "train": len(train), "test": len(test)}


def table(rows):
    tasks = sorted({row["task"] for row in rows})
    for network in sorted({row["network"] for row in rows}):
        for images in sorted({row["images"] for row in rows}):
            of = [row for row in rows if (row["network"], row["images"]) == (network, images)]
            if not of:
                continue
            print(f"\n{network}, {images} images a class: test accuracy, and CPU seconds of a run\n")
            print("| recipe | seeds | " + " | ".join(tasks) + " | mean |")
            print("|---|" + "---|" * (len(tasks) + 2))
            variants = {(row["recipe"], row["batch"]) for row in of}
            for recipe, batch in sorted(variants, key=lambda it: (it[0].split()[0], *map(int, it[0].split()[1:]), it[1] or 0)):
                found = [row for row in of if (row["recipe"], row["batch"]) == (recipe, batch)]
                by_task = [[row for row in found if row["task"] == task] for task in tasks]
                seeds = "-".join(str(n) for n in sorted({len(cell) for cell in by_task if cell}))
                title = recipe + (f", batches of {batch}" if batch else "")
                for what, column, digits in [(title, "accuracy", 3), ("CPU seconds", "cpu", 0)]:
                    cells = [mean(row[column] for row in cell) if cell else None for cell in by_task]
                    shown = ["-" if cell is None else f"{cell:.{digits}f}" for cell in cells]
                    whole = "-" if None in cells else f"{mean(cells):.{digits}f}"
                    print(f"| {what} | {seeds} | {' | '.join(shown)} | {whole} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("suite", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--networks", required=True)
    parser.add_argument("--tasks")
    parser.add_argument("--recipes", default=RECIPES)
    parser.add_argument("--images", default="all")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--batch", type=int, help="instead of 64 (fastai) and 32 (Keras)")
    parser.add_argument("--stop", default="99", help="start no run after this time of day, as HH:MM in UTC")
    parser.add_argument("--table", action="store_true", help="only print the table")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = arguments.out / "peers.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    if arguments.table:
        return table(rows)
    key = lambda row: (row["network"], row["task"], row["recipe"], row["images"], row["seed"], row["batch"])
    known = {key(row) for row in rows}
    tasks = arguments.tasks.split(",") if arguments.tasks else sorted(p.name for p in arguments.suite.iterdir() if p.is_dir())
    networks = [Network(Path(path)) for path in arguments.networks.split(",")]
    todo = [
        (network, {"network": network.name, "task": task, "recipe": recipe, "images": images, "seed": seed, "batch": arguments.batch})
        for seed in arguments.seeds.split(",")
        for images in arguments.images.split(",")
        for network in networks
        for recipe in arguments.recipes.split(",")
        for task in tasks
    ]
    for network, row in todo:
        if key(row) in known:
            continue
        if datetime.now(timezone.utc).strftime("%H:%M") >= arguments.stop:
            print("stopped: it is late")
            break
        row |= run(network, arguments.suite / row["task"], row["recipe"], row["images"], row["seed"], row["batch"])
        rows.append(row)
        with log.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)
    table(rows)


if __name__ == "__main__":
    main()
