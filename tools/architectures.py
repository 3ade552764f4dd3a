#!/usr/bin/env python3
"""Exports classifiers of timm and Hugging Face to ONNX and shows regraft each file.

What for: "any classifier" is a claim about files of other people. Each line of `tools/architectures.txt` names a network; it
gets random weights and goes through PyTorch's default exporter, the older one (opset 17) and, for Hugging Face, the older
one with batch, channels, height and width open under optimum's names. For each file:

    - `regraft inspect` reads it;
    - `regraft run` gives ONNX Runtime's numbers, to 1e-4 of the largest;
    - `regraft train` does one epoch with feature-extractor (a trained head), last-blocks = 1 and full on small images;
    - each export passes onnx.checker, and ONNX Runtime on it gives what `regraft run` gives, to 1e-3 of the largest.

Scales that start at 0 or 1e-6 and statistics that start at 0 and 1 are redrawn: a branch that adds nothing shows nothing.

Needs: Python 3.10, numpy, pillow, onnx, onnxruntime, onnxscript, torch, timm, transformers, and a built regraft.

Run:   python tools/architectures.py export FOLDER [--only NAME …]
       python tools/architectures.py check FOLDER --regraft target/release/regraft [--only NAME …] [--again]
       python tools/architectures.py table FOLDER

Both of the first go on where they stopped: `export` leaves what is there, `check` what it has judged (FOLDER/results.jsonl).
"""

import argparse
import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

LIST = Path(__file__).with_name("architectures.txt")
EXPORTERS = ["default", "legacy", "optimum"]
POLICIES = {"head": ["--policy", "feature-extractor", "--set", "model.head.kind=linear"], "last": ["--policy", "last-blocks=1"], "full": ["--policy", "full"]}
EAGER = {"Beit", "Data2VecVision", "Swin", "beit_base_patch16_224", "hiera_tiny_224", "nest_tiny", "test_maxvit", "test_vit_relpos", "twins_svt_small"}
RUN, TRAINED = 1e-4, 1e-3
EXPORT_SECONDS, CHECK_SECONDS = 600, 600


def listed(only):
    """(source, name, size, arguments) of each line."""
    for line in LIST.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        source, name, size, *rest = line.split(" ", 3)
        if not only or name in only:
            yield source, name, int(size), rest[0] if rest else ""


def stem(source, name):
    return f"{source}.{name}"


def build(source, name, size, arguments, plain):
    """The network in inference mode and the side of its images; `plain`: attention written out."""
    import torch

    torch.manual_seed(0)
    options = eval(f"dict({arguments})")  # the list is ours
    if source == "timm":
        import timm

        if plain:
            timm.layers.set_fused_attn(False)
        network = timm.create_model(name, pretrained=False, **options)
        size = size or network.pretrained_cfg["input_size"][-1]
        if "img_size" in options:
            size = options["img_size"]
    else:
        import transformers

        if name == "Siglip":
            vision = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=64, patch_size=16)
            configuration = transformers.SiglipConfig(vision_config=vision, num_labels=10)
        else:
            configuration = getattr(transformers, name + "Config")(num_labels=10, **options)
        if plain:
            configuration._attn_implementation = "eager"
        network = getattr(transformers, name + "ForImageClassification")(configuration)
    network.eval()
    with torch.no_grad():
        for key, value in list(network.named_parameters()) + list(network.named_buffers()):
            if not value.is_floating_point():
                continue
            if key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif key.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif isinstance(value, torch.nn.Parameter) and (value.numel() == 1 or value.std() < 1e-5):
                centre = 1.0 if value.flatten()[0] > 0.5 else 0.0
                value.normal_(centre, 0.2)
        settle(network, size)
    return network, size


def settle(network, size):
    """Gives batch norms the statistics of some images: with any others, values grow from block to block until rounding decides."""
    import torch

    norms = [module for module in network.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    if norms:
        for module in norms:
            module.momentum = 1.0
            module.train()
        network(torch.randn(8, 3, size, size))
        network.eval()


def export(source, name, size, arguments, exporter, path):
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    # Neither exporter knows all that PyTorch's one operator for attention may be given.
    plain = name.startswith(("eva02", "vit_small_patch16_dinov3")) if exporter != "default" else name in EAGER
    network, size = build(source, name, size, arguments, plain)

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, pixel_values):
            given = self.network(pixel_values)
            return given if source == "timm" else given.logits

    model = network if source == "timm" else Logits()
    image = torch.randn(2, 3, size, size)
    names = dict(input_names=["pixel_values"], output_names=["logits"])
    half = path.with_suffix(".part")

    def write(batch):
        if exporter == "default":
            shapes = [{0: torch.export.Dim("batch")}] if batch else None
            torch.onnx.export(model, (image if batch else image[:1],), str(half), dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False, **names)
        else:
            axes = {"pixel_values": {0: "batch_size"}, "logits": {0: "batch_size"}}
            if exporter == "optimum":
                axes["pixel_values"] = {0: "batch_size", 1: "num_channels", 2: "height", 3: "width"}
            torch.onnx.export(model, (image if batch else image[:1],), str(half), dynamo=False, opset_version=18 if name.startswith("volo") else 17, dynamic_axes=axes if batch else None, **names)

    fixed = False
    try:
        write(batch=True)
    except Exception as error:
        print(f"with an open batch: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        write(batch=False)
        fixed = True
    half.rename(path)
    path.with_suffix(".json").write_text(json.dumps({"size": size, "fixed_batch": fixed}))


def export_or_tell(source, name, size, arguments, exporter, path, failed):
    try:
        export(source, name, size, arguments, exporter, path)
    except Exception as error:
        failed.write_text(f"{type(error).__name__}: {error}"[:500].replace("\n", " "))


def export_all(arguments):
    import timm, torch, transformers  # noqa: F401, E401

    context = multiprocessing.get_context("fork")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for exporter in EXPORTERS[::-1] if arguments.reverse else EXPORTERS:
        for source, name, size, rest in listed(arguments.only):
            if exporter == "optimum" and source != "hf" or arguments.exporter not in (None, exporter):
                continue
            path = arguments.folder / f"{stem(source, name)}.{exporter}.onnx"
            failed = path.with_suffix(".failed")
            if path.exists() or failed.exists():
                continue
            start = time.time()
            # A process each, for memory and time limits; forked, since the imports take longer than most exports.
            process = context.Process(target=export_or_tell, args=(source, name, size, rest, exporter, path, failed))
            process.start()
            process.join(EXPORT_SECONDS)
            if process.is_alive():
                process.kill()
                failed.write_text(f"not within {EXPORT_SECONDS} s")
            elif not path.exists() and not failed.exists():
                failed.write_text(f"ended with {process.exitcode}")
            reason = failed.read_text() if failed.exists() else None
            print(f"{path.name}: {reason[:150] if reason else 'written'}, {time.time() - start:.0f} s", flush=True)


def run_onnx(path, image, optimise=False):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})[0]


def regraft(binary, *arguments):
    ended = subprocess.run([str(binary), *map(str, arguments)], capture_output=True, text=True, timeout=CHECK_SECONDS)
    if ended.returncode:
        lines = [line for line in ended.stderr.strip().splitlines() if line.strip()]
        raise RuntimeError(" / ".join(lines[-4:])[:600])
    return ended.stdout


def compare(binary, path, image, work, most):
    import numpy as np

    theirs = run_onnx(path, image)
    np.save(work / "x.npy", image)
    regraft(binary, "run", path, "--input", work / "x.npy", "--output", work / "y.npy")
    ours = np.load(work / "y.npy")
    if ours.shape != theirs.shape:
        raise RuntimeError(f"shapes {ours.shape} and {theirs.shape}")
    largest = np.abs(theirs).max()
    if not np.isfinite(theirs).all() or largest == 0:
        raise RuntimeError("ONNX Runtime's numbers are 0 or not finite")
    difference = float(np.abs(ours - theirs).max() / largest)
    # Random networks can be such that rounding decides: what ONNX Runtime's own numbers change by when it may put operators together
    # is no error of anybody's.
    rounding = 0.0
    if not difference <= most:
        rounding = float(np.abs(run_onnx(path, image, optimise=True) - theirs).max() / largest)
    if not difference <= max(most, 4 * rounding):
        raise RuntimeError(f"differs by {difference:.2g}")
    return difference


def images(folder, side):
    """Two classes of eight images, once a size."""
    import numpy as np
    from PIL import Image

    if not folder.exists():
        random = np.random.default_rng(0)
        for label, centre in enumerate([90, 160]):
            (folder / f"class{label}").mkdir(parents=True)
            for number in range(8):
                pixels = random.normal(centre, 50, (side, side, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"class{label}" / f"{number}.png")
    return folder


def check(path, binary, work):
    """What became of each step: a difference, or the reason why not."""
    import numpy as np
    import onnx

    facts = json.loads(path.with_suffix(".json").read_text())
    side = facts["size"]
    found = {"file": path.name, **facts}
    sized = ["--size", side] if path.name.endswith(".optimum.onnx") else []
    started = time.time()
    try:
        regraft(binary, "inspect", path, "--json")
        found["inspect"] = "ok"
    except Exception as error:
        found["inspect"] = str(error)
        return found
    image = np.random.default_rng(0).standard_normal((1 if facts["fixed_batch"] else 2, 3, side, side), dtype=np.float32)
    try:
        found["run"] = compare(binary, path, image, work, RUN)
    except Exception as error:
        found["run"] = str(error)
    data = images(work / f"images-{side}", side)
    for policy, options in POLICIES.items():
        out = work / "run"
        common = ["--set", "train.epochs=1", "--set", "train.batch_size=8", "--set", "data.validation=0", "--set", "data.preprocess.crop=squash", "--out", out, "--overwrite"]
        try:
            regraft(binary, "-q", "train", path, data, *options, *sized, *common)
            exported = out / "model.onnx"
            onnx.checker.check_model(str(exported), full_check=True)
            found[policy] = compare(binary, exported, image, work, TRAINED)
        except Exception as error:
            found[policy] = str(error)
    found["seconds"] = round(time.time() - started, 1)
    return found


def results(folder):
    """The last judgement of each file."""
    path = folder / "results.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {entry["file"]: entry for entry in map(json.loads, lines)}


def passed(entry):
    return all(isinstance(entry.get(step), float) for step in ["run", *POLICIES])


def check_all(arguments):
    folder = arguments.folder
    work = folder / f"work-{os.getpid()}"
    work.mkdir()
    judged = results(folder)
    for path in sorted(folder.glob("*.onnx")):
        _, name, exporter = re.fullmatch(r"(timm|hf)\.(.+)\.(\w+)\.onnx", path.name).groups()
        if arguments.only and name not in arguments.only or arguments.exporter not in (None, exporter):
            continue
        before = judged.get(path.name)
        if before and not (arguments.again and not passed(before)) and not arguments.only:
            continue
        entry = check(path, arguments.regraft, work)
        with open(folder / "results.jsonl", "a") as log:
            log.write(json.dumps(entry) + "\n")
        steps = {step: entry.get(step) for step in ["inspect", "run", *POLICIES] if not isinstance(entry.get(step), float) and entry.get(step) not in ("ok", None)}
        print(f"{'ok  ' if passed(entry) else 'FAIL'} {path.name} {json.dumps(steps) if steps else ''}", flush=True)


def short(reason, folder):
    """Why a file did not pass, without where it lay."""
    reason = " ".join(reason.replace(f"{folder}/", "").split())
    reason = re.sub(r"^error: model `[^`]+`: ", "", reason)
    return reason.split(" / ", 1)[-1][:160].replace("|", "/") if reason.startswith("one node") else reason[:160].replace("|", "/")


def table(arguments):
    import onnxruntime, timm, torch, transformers

    judged = results(arguments.folder)
    rows, reasons = [], []
    count = {(source, exporter): [0, 0] for source in ["timm", "hf"] for exporter in EXPORTERS}
    for source, network, _, _ in listed(arguments.only):
        name, cells = stem(source, network), []
        for exporter in EXPORTERS:
            file = f"{name}.{exporter}.onnx"
            failed = arguments.folder / f"{name}.{exporter}.failed"
            entry = judged.get(file)
            if entry is None:
                cells.append("not exported" if failed.exists() else "")
                if failed.exists():
                    reasons.append((file, f"PyTorch does not export it: {failed.read_text()}"))
                continue
            count[source, exporter][0] += passed(entry)
            count[source, exporter][1] += 1
            if passed(entry):
                batch = " (batch 1)" if entry["fixed_batch"] else ""
                cells.append(f"{entry['run']:.0e}, {max(entry[policy] for policy in POLICIES):.0e}{batch}")
                continue
            step = next(step for step in ["inspect", "run", *POLICIES] if entry.get(step) != "ok" and not isinstance(entry.get(step), float))
            cells.append(f"no: {step}")
            reasons.append((file, f"{step}: {entry[step]}"))
        rows.append(f"| `{name}` | " + " | ".join(cells) + " |")
    print("# Architectures\n")
    print("Written by `tools/architectures.py table FOLDER`, whose first lines say what is done with each file.\n")
    print(f"timm {timm.__version__}, transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, onnxruntime {onnxruntime.__version__}.\n")
    print("| from | " + " | ".join(EXPORTERS) + " |\n|---|" + "---|" * len(EXPORTERS))
    for source, whose in [("timm", "timm"), ("hf", "Hugging Face")]:
        cells = [f"{good} of {of}" if of else "" for good, of in (count[source, exporter] for exporter in EXPORTERS)]
        print(f"| {whose} | " + " | ".join(cells) + " |")
    print("\nOf the files that PyTorch wrote, those that did everything. In the table: the largest difference to ONNX Runtime, relative to the")
    print("largest value, of the file as it is and of the three trained exports. More than 1e-04 passes where ONNX Runtime's own numbers")
    print("change as much when it may put operators together.\n")
    print(f"For PyTorch's default exporter, {len(EAGER)} networks have their attention written out, since it fails on the fused operator.\n")
    print("| network | " + " | ".join(EXPORTERS) + " |\n|---|" + "---|" * len(EXPORTERS))
    print("\n".join(rows))
    print("\n## Not passed\n")
    for file, reason in reasons:
        print(f"- `{file}`: {short(reason, arguments.folder)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["export", "check", "table"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--regraft", type=Path, default=Path("target/release/regraft"))
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--exporter", choices=EXPORTERS)
    parser.add_argument("--again", action="store_true", help="judge once more what did not pass")
    parser.add_argument("--reverse", action="store_true", help="the older exporters first")
    arguments = parser.parse_args()
    {"export": export_all, "check": check_all, "table": table}[arguments.what](arguments)


if __name__ == "__main__":
    main()
