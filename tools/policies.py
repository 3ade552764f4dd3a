"""The tables of docs/policies.md: policies against each other on small classification tasks.

    python tools/policies.py target/release/regraft SUITE OUT [--networks a.onnx,b.onnx] [--tasks stamps,count]
        [--images 10,50,all] [--seeds 1,2,3] [--budget 80s] [--columns solved,auto]

SUITE holds a folder a task, each with `train/` and `test/`. Every run is one line of OUT/policies.jsonl; runs that are there
are not repeated, so that it may be stopped at any time. Prints test accuracies as means over seeds, for every network the
mean over tasks, and the regret of `auto`: how far it is below the best column.
"""

import argparse
import json
import subprocess
import time
from pathlib import Path
from statistics import mean

COLUMNS = {
    "solved": ["model.head=solved"],
    "head": ["model.head=linear", "train.epochs=30"],
    **{
        f"{name} {epochs} {rate}": [f"freeze.policy={policy}", f"train.epochs={epochs}", f"train.lr={rate}"]
        for name, policy in {
            "last 1": "{ last-blocks = 1 }",
            "last 2": "{ last-blocks = 2 }",
            "last 4": "{ last-blocks = 4 }",
            "full": "full",
        }.items()
        for epochs in (5, 15)
        for rate in ("0.001", "0.0003")
    },
    "probe-then-tune 10": ["freeze.policy=probe-then-tune", "train.epochs=10"],
    "auto": ["freeze.policy=auto"],
}


def run(arguments, network, task, column, images, seed):
    settings = [
        "data.preprocess.size=96",
        "data.preprocess.crop=squash",
        f"data.per_class={images if images == 'all' else int(images)}",
        f"train.seed={seed}",
        *COLUMNS[column],
    ]
    if column == "auto":
        settings.append(f'train.budget="{arguments.budget}"')
    out = arguments.out / "run"
    command = [arguments.regraft, "-q", "train", str(network), str(task), "--out", str(out), "--overwrite", "--json"]
    command += [word for setting in settings for word in ("--set", setting)]
    start = time.time()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.time() - start
    if done.returncode:
        return {"error": done.stderr[-300:], "seconds": seconds}
    summary = json.loads(done.stdout)
    return {"accuracy": summary["test"]["accuracy"], "seconds": seconds}


def table(rows, columns):
    tasks = sorted({row["task"] for row in rows})
    for network in sorted({row["network"] for row in rows}):
        for images in sorted({row["images"] for row in rows}):
            of = [row for row in rows if (row["network"], row["images"]) == (network, images) and "accuracy" in row]
            if not of:
                continue
            print(f"\n{network}, {images} images a class\n")
            print("| column | " + " | ".join(tasks) + " | mean | seconds |")
            print("|---|" + "---|" * (len(tasks) + 2))
            scores = {}
            for column in columns:
                cells = []
                for task in tasks:
                    found = [row for row in of if (row["task"], row["column"]) == (task, column)]
                    cells.append(mean(row["accuracy"] for row in found) if found else None)
                if all(cell is not None for cell in cells):
                    scores[column] = cells
                seconds = [row["seconds"] for row in of if row["column"] == column]
                shown = ["-" if cell is None else f"{cell:.3f}" for cell in cells]
                known = [cell for cell in cells if cell is not None]
                if known:
                    print(f"| {column} | {' | '.join(shown)} | {mean(known):.3f} | {mean(seconds):.0f} |")
            if "auto" in scores and len(scores) > 1:
                best = [max(cells[i] for name, cells in scores.items() if name != "auto") for i in range(len(tasks))]
                regret = [100 * (b - a) for a, b in zip(scores["auto"], best)]
                print(f"\nregret of auto in points: mean {mean(regret):.1f}, worst {max(regret):.1f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("regraft")
    parser.add_argument("suite", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--networks", default="squeezenet1.1")
    parser.add_argument("--tasks")
    parser.add_argument("--images", default="all")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--budget", default="80s")
    parser.add_argument("--columns", default=",".join(COLUMNS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = arguments.out / "policies.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    key = lambda row: (row["network"], row["task"], row["column"], row["images"], row["seed"])
    known = {key(row) for row in rows}
    tasks = arguments.tasks.split(",") if arguments.tasks else sorted(p.name for p in arguments.suite.iterdir() if p.is_dir())
    columns = arguments.columns.split(",")
    for seed in arguments.seeds.split(","):
        for images in arguments.images.split(","):
            for network in arguments.networks.split(","):
                for task in tasks:
                    for column in columns:
                        row = {"network": Path(network).stem, "task": task, "column": column, "images": images, "seed": seed}
                        if key(row) in known:
                            continue
                        row |= run(arguments, network, arguments.suite / task, column, images, seed)
                        rows.append(row)
                        with log.open("a") as file:
                            file.write(json.dumps(row) + "\n")
                        print(row, flush=True)
    table(rows, columns)


if __name__ == "__main__":
    main()
