"""Reference outputs for the ridge tests in src/ridge.rs, by augmented least squares instead of normal equations.

Needs numpy. Prints Rust arrays.
"""

import numpy as np

for width in (4, 20):
    i, j = np.arange(12)[:, None], np.arange(width)[None, :]
    features = ((i * 37 + j * 101 + i * j * 13) % 17) / 4.0
    features[:, 1] = 2.5  # a constant column
    labels = np.arange(12) % 3
    train, valid = np.arange(9), np.arange(9, 12)
    mean, deviation = features[train].mean(0), features[train].std(0)
    varies = deviation > 0
    scale = lambda rows: ((features[rows] - mean) / np.where(varies, deviation, 1))[:, varies]
    z, targets = scale(train), np.eye(3)[labels[train]]
    prior = targets.mean(0)
    for strength in (0.01, 1.0):
        penalty = strength * max(z.shape)
        rows = np.vstack([z, np.sqrt(penalty) * np.eye(z.shape[1])])
        goal = np.vstack([targets - prior, np.zeros((z.shape[1], 3))])
        weights = np.linalg.lstsq(rows, goal, rcond=None)[0]
        outputs = scale(valid) @ weights + prior
        print(f"({width}, {strength}, [")
        for row in outputs:
            print("    [" + ", ".join(f"{value:.12f}" for value in row) + "],")
        print("]),")
