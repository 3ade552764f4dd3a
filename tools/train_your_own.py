"""The table of docs/train-your-own.md: a network trained from nothing on five classes of Fashion-MNIST, reused on the others.

    python tools/train_your_own.py target/release/regraft FOLDER_OF_IDX_FILES OUT

Trains a narrow ResNet-18 on the classes 0-4, then the classes 5-9 with few images of each in several ways: three train, each
with the same number of epochs and the best of its validations, one solves a head, and one lets candidates race for as
long as BUDGET says. Prints accuracies on the 5,000 test images of the classes 5-9, as means over seeds. Finished runs in
OUT are not repeated.
"""

import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

SOURCE = '["0", "1", "2", "3", "4"]'
TARGET = '["5", "6", "7", "8", "9"]'
IMAGES = [10, 50, 200]
SEEDS = [1, 2, 3]
EPOCHS = 20
BUDGET = {10: "30s", 50: "60s", 200: "120s"}
TRAINED = [f"train.epochs={EPOCHS}", "train.batch_size=16"]
WAYS = {
    "scratch": ["freeze.policy=full", *TRAINED],
    "frozen": ["freeze.policy=feature-extractor", "model.head=linear", *TRAINED],
    "fine-tuned": ["freeze.policy=full", *TRAINED],
    "solved": ["model.head=solved"],
    "auto": ["freeze.policy=auto", "train.batch_size=16"],
}


def train(regraft, model, data, out, settings):
    summary = out.with_suffix(".json")
    if not summary.exists():
        sets = [word for setting in settings for word in ("--set", setting)]
        command = [regraft, "train", "--model", str(model), "--data", data, "--out", str(out), "--overwrite", "--json", *sets]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        summary.write_text(done.stdout)
    return json.loads(summary.read_text())["test"]["accuracy"]


def main():
    regraft, data, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    new = out / "new.onnx"
    if not new.exists():
        make = [regraft, "new", "resnet18", "--size", "28", "--width", "0.25", "--out", str(new)]
        subprocess.run(make, check=True)
    learned = train(
        regraft,
        new,
        data,
        out / "source",
        [f"data.classes={SOURCE}", "data.per_class=2000", "freeze.policy=full", "train.epochs=6", "train.batch_size=64"],
    )
    print(f"trained from nothing on the classes 0-4: {learned:.3f} on their test images\n")
    print("| images a class | " + " | ".join(WAYS) + " |")
    print("|---" * (len(WAYS) + 1) + "|")
    for images in IMAGES:
        cells = []
        for way, settings in WAYS.items():
            model = new if way == "scratch" else out / "source"
            found = [
                train(
                    regraft,
                    model,
                    data,
                    out / f"{way}-{images}-{seed}",
                    [
                        f"data.classes={TARGET}",
                        f"data.per_class={images}",
                        f"train.seed={seed}",
                        *settings,
                        *([f'train.budget="{BUDGET[images]}"'] if way == "auto" else []),
                    ],
                )
                for seed in SEEDS
            ]
            cells.append(f"{mean(found):.3f} ± {stdev(found):.3f}")
        print(f"| {images} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
