"""Time to read a large network: `regraft inspect` against ONNX Runtime's session without optimisation.

Makes torchvision's VGG-16 with random weights (553 MB) and times both in turn, each in a process of its own.

    python benches/peers/import_time.py target/release/regraft

Needs: pip install torch torchvision onnx onnxruntime
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5

ORT = """
import sys, time
import onnxruntime
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
start = time.perf_counter()
onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
print(time.perf_counter() - start)
"""


def export(path: Path) -> None:
    import torch
    import torchvision

    model = torchvision.models.vgg16(weights=None).eval()
    image = torch.zeros(1, 3, 224, 224)
    torch.onnx.export(model, (image,), str(path), dynamo=False)


def main() -> None:
    regraft = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vgg16.onnx"
        export(path)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            subprocess.run([regraft, "inspect", str(path)], check=True, stdout=subprocess.DEVNULL)
            ours.append(time.perf_counter() - start)
            done = subprocess.run(
                [sys.executable, "-c", ORT, str(path)], check=True, capture_output=True, text=True
            )
            theirs.append(float(done.stdout))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs))
    print(f"regraft inspect, whole process: {statistics.median(ours):.2f} s")
    print(f"ONNX Runtime, session alone:    {statistics.median(theirs):.2f} s")
    print(f"median ratio:                   {ratio:.2f}")


if __name__ == "__main__":
    main()
