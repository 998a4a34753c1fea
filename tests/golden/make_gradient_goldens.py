#!/usr/bin/env python3
"""Makes gradients.f32 beside the golden logits of each variant: the gradient of the mean cross-entropy of the prompt's
next tokens with respect to every tensor.

Usage: make_gradient_goldens.py [--models DIR] [VARIANT ...]

Needs torch, numpy and transformers. Computed twice, by transformers in float32 and by PlainModel in float64, both
differentiated by torch; the file holds what the first gives, and the script fails unless they agree to a tenth of the
tolerance. The code published with DeepSeek-MoE-16B gives its experts no gradients outside training and an auxiliary
loss within it, so `deepseek` is PlainModel's alone. README.md beside the goldens states what a row holds.
"""

import argparse
import json
import pathlib
import struct

import numpy as np
import torch

from make_model_goldens import TOLERANCE
from model_weights import random_words, reference_weights
from plain_model import PlainModel
from published_model import PublishedModel

ELEMENTS = 32


def loss(logits, ids):
    return torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]))


def plain_gradients(cfg, weights, ids):
    leaves = {name: tensor.double().requires_grad_() for name, tensor in weights.items()}
    loss(PlainModel(cfg, leaves).logits(ids), ids).backward()
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


def published_gradients(cfg, weights, ids):
    with torch.no_grad():
        published = PublishedModel(cfg, weights, None)
    loss(published.model(torch.tensor([ids]), use_cache=False).logits[0], ids).backward()
    return published.gradients(cfg)


def row(name, seed, gradient):
    """The norm, the product with a random direction, and some elements."""
    values = gradient.double().flatten().numpy()
    words = random_words("direction of " + name, seed, len(values)) >> np.uint64(40)
    direction = 2.0 * words.astype(float) * 2.0**-24 - 1.0
    chosen = random_words("elements of " + name, seed, ELEMENTS) % np.uint64(len(values))
    return [float(np.linalg.norm(values)), float(values @ direction), *values[chosen.astype(int)].tolist()]


def make_golden(folder):
    document = json.loads((folder / "golden.json").read_text())
    cfg = json.loads((folder / "config.json").read_text())
    specs, seed, ids = document["tensors"], document["seed"], document["prompt"]
    weights = reference_weights(specs, seed)
    plain = plain_gradients(cfg, weights, ids)
    golden = plain if cfg["model_type"] == "deepseek" else published_gradients(cfg, weights, ids)
    assert set(golden) <= set(plain), set(golden) - set(plain)
    rows, worst = [], 0.0
    for spec in specs:
        name = spec["name"]
        # Scales of fp8 tensors, selection biases, the multi-token layer; experts that no token of the prompt chose.
        if name not in golden or not golden[name].any():
            assert name not in plain or not plain[name].any(), name
            rows.append([0.0] * (2 + ELEMENTS))
            continue
        difference = float((golden[name].double() - plain[name]).norm() / plain[name].norm())
        worst = max(worst, difference)
        assert difference < TOLERANCE / 10, f"{folder.name}: gradients of {name} differ by {difference}"
        rows.append(row(name, seed, golden[name]))
    (folder / "gradients.f32").write_bytes(b"".join(struct.pack(f"<{2 + ELEMENTS}f", *r) for r in rows))
    print(f"{folder.name}: {sum(r[0] > 0 for r in rows)} of {len(rows)} tensors, the references differ by {worst:.2e}",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "models")
    parser.add_argument("variants", nargs="*", default=[])
    args = parser.parse_args()
    for folder in sorted(path.parent for path in args.models.glob("*/golden.json")):
        if not args.variants or folder.name in args.variants:
            make_golden(folder)


if __name__ == "__main__":
    main()
