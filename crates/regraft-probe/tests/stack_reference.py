"""Reference logits of the second stage, and scores of several classes an image.

Needs numpy, scipy and scikit-learn. Writes stack_reference.in (logits of the first three images, for
`the_second_stage_is_that_of_the_reference` in src/stack.rs) and scores_reference.in (for
`scores_are_those_of_the_reference` in src/scores.rs), Rust arrays, beside itself.
"""

import pathlib

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from sklearn.metrics import average_precision_score, f1_score

IMAGES, CLASSES = 60, 4
i, c = np.arange(IMAGES)[:, None], np.arange(CLASSES)[None, :]
noise = ((i * CLASSES + c) * 7919 + 13) % 2003 / 1001.5 - 1
parts = ((i * 37 + c * 101 + i * c * 13) % 17 < 6) * 4 + (i * 11 + c * 7) % 5
parts[:, 0] += parts.sum(1) == 0
soft = (parts / parts.sum(1, keepdims=True)).astype(np.float32).astype(float)
soft /= soft.sum(1, keepdims=True)
truths = ((i * 37 + c * 101 + i * c * 13) % 17 < 3 + 2 * c).astype(float)
uneven = 0.5 + np.arange(IMAGES) % 3
uneven /= uneven.mean()
even = np.ones(IMAGES)


def first_stage(targets):
    """Outputs that mix classes up a little."""
    return 0.5 * targets + 0.3 * np.roll(targets, 1, axis=1) + 0.3 * noise


def cross_entropy(logits, targets):
    return logsumexp(logits, axis=1) - (targets * logits).sum(1)


def binary(logits, targets, sides):
    weight = np.where(targets > 0.5, sides[1], sides[0])
    return (weight * (np.logaddexp(0, logits) - targets * logits)).sum(1)


def least(objective, start, **given):
    for _ in range(20):  # numeric derivatives stop early; begun again, they do not
        found = minimize(objective, start, method="BFGS", options=dict(gtol=1e-9, maxiter=5000), **given)
        start = found.x
    return start


def regression(inputs, loss, weights, pull):
    """The regression that is held near the identity."""
    eye = np.vstack([np.eye(CLASSES), np.zeros(CLASSES)])
    held = np.ones_like(eye)
    held[CLASSES] = 0.01

    def objective(flat):
        values = flat.reshape(eye.shape)
        away = (held * (values - eye) ** 2).sum() / 2
        losses = loss(inputs @ values[:CLASSES] + values[CLASSES])
        return weights @ losses / weights.sum() + pull / IMAGES * away

    values = least(objective, eye.ravel()).reshape(eye.shape)
    return inputs @ values[:CLASSES] + values[CLASSES]


lines = ["["]


def write(name, stage, logits):
    numbers = ", ".join("[" + ", ".join(f"{v:.9f}" for v in row) + "]" for row in logits[:3])
    lines.append(f'    ("{name}", {stage}, [{numbers}]),')


for name, weights in (("soft", even), ("soft, uneven", uneven)):
    outputs = first_stage(soft)
    loss = lambda logits: cross_entropy(logits, soft)
    factor = np.exp(least(lambda v: weights @ loss(np.exp(v[0]) * outputs) / IMAGES, [1.0])[0])
    write(name, "None", factor * outputs)
    for pull in (10.0, 0.1):
        write(name, f"Some({pull})", regression(factor * outputs, loss, weights, pull))

for name, weights in (("several", even), ("several, uneven", uneven), ("several, balanced", even)):
    outputs = first_stage(truths)
    positives, total = weights @ truths, weights.sum()
    sides = np.ones((2, CLASSES))
    if "balanced" in name:
        sides = np.array([total / (2 * (total - positives)), total / (2 * positives)])
    drawn = np.where(truths > 0.5, (positives + 1) / (positives + 2), 1 / (total - positives + 2))
    mean = lambda v: weights @ binary(np.exp(v[0]) * outputs + v[1:], drawn, sides) / total
    values = least(mean, np.zeros(CLASSES + 1))
    inputs = np.exp(values[0]) * outputs + values[1:]
    write(name, "None", inputs)
    loss = lambda logits: binary(logits, truths, sides)
    for pull in (10.0, 0.1):
        write(name, f"Some({pull})", regression(inputs, loss, weights, pull))
lines.append("]")
here = pathlib.Path(__file__)
here.with_name("stack_reference.in").write_text("\n".join(lines) + "\n")

# Logits with many ties; the last class is true of no image.
logits = np.round(first_stage(truths) * 8) / 4 - 1
logits = np.hstack([logits, np.zeros((IMAGES, 1))])
known = np.hstack([truths, np.zeros((IMAGES, 1))])
said = logits > 0
average = average_precision_score(truths, logits[:, :CLASSES], average="macro")
micro = f1_score(known, said, average="micro")
macro = f1_score(truths, said[:, :CLASSES], average="macro")
here.with_name("scores_reference.in").write_text(f"[{average:.12f}, {micro:.12f}, {macro:.12f}]\n")
