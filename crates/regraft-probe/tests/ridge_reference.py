"""Reference outputs for `sums_solve_as_the_reference_does`, by augmented least squares instead of normal equations.

Needs numpy. Writes ridge_reference.in, a Rust array, beside itself.
"""

import pathlib

import numpy as np

i, j = np.arange(12)[:, None], np.arange(6)[None, :]
features = ((i * 37 + j * 101 + i * j * 13) % 17) / 4.0
features[:, 1] = 2.5  # a constant column
c = np.arange(3)[None, :]
parts = (i * 11 + c * 7 + i * c) % 5 + 1
kinds = {
    "Labels": np.eye(3)[np.arange(12) % 3],
    "Soft": parts / parts.sum(1, keepdims=True),
    "MultiLabel": ((i * 5 + c * 3 + i * c * c) % 7 < 3).astype(float),
}
z = np.zeros_like(features)
for group in (slice(0, 4), slice(4, 6)):
    part = features[:, group]
    variance = part.var(0)
    floored = variance + 1e-3 * variance[variance > 0].mean()
    scale = np.where(variance > 0, floored**-0.5, 0)
    scale /= np.sqrt((variance * scale**2).sum())
    z[:, group] = (part - part.mean(0)) * scale
lines = ["["]
for kind, targets in kinds.items():
    prior = targets.mean(0)
    for strength in (0.01, 1.0):
        penalty = strength * (z**2).sum() / len(z)
        rows = np.vstack([z, np.sqrt(penalty) * np.eye(6)])
        goal = np.vstack([targets - prior, np.zeros((6, 3))])
        weights = np.linalg.lstsq(rows, goal, rcond=None)[0]
        outputs = (z @ weights + prior)[:3]
        numbers = ", ".join("[" + ", ".join(f"{v:.12f}" for v in row) + "]" for row in outputs)
        lines.append(f'    ("{kind}", {strength}, [{numbers}]),')
lines.append("]")
pathlib.Path(__file__).with_name("ridge_reference.in").write_text("\n".join(lines) + "\n")
