#!/usr/bin/env python3
"""Makes multi_token.f32 beside the golden logits of each variant with a multi-token layer: what the layer guesses along
the text of golden.json.

Usage: make_multi_token_goldens.py [--models DIR]

Needs numpy alone. The published modelling code leaves the layer out, so this is DeepSeek-V3 in float64 once more, from
the formulas of arXiv 2412.19437 and, for the order in which eh_proj takes its two inputs, from the published weights'
use in vLLM and SGLang. The script fails unless the same code gives the logits of the model itself, which other code
made (see models/README.md), to a tenth of the tolerance, or when a routing decision of the layer is close.
"""

import argparse
import json
import math
import pathlib

import numpy as np

MASK64 = (1 << 64) - 1
G = 0x9E3779B97F4A7C15
FP8_BLOCK = 128
LATENT_EPS = 1e-6


def element_words(name, seed, count):
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK64
    state ^= (seed * G) & MASK64
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(G)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def e4m3(code):
    sign, exponent, fraction = -1.0 if code & 128 else 1.0, code >> 3 & 15, code & 7
    return sign * (fraction * 2.0**-9 if exponent == 0 else (1 + fraction / 8) * 2.0 ** (exponent - 7))


def tensor(spec, seed):
    words = element_words(spec["name"], seed, math.prod(spec["shape"])) >> np.uint64(40)
    if spec["rule"] == "e4m3":
        values = np.array([e4m3(code) for code in range(256)])[(words & np.uint64(0xBF)).astype(int)]
    elif spec["rule"] == "pow2":
        values = 2.0 ** (spec["b"] + (words & np.uint64(3)).astype(float))
    else:
        unit = words.astype(np.float32) * np.float32(2.0**-24)
        values = (np.float32(2) * unit - np.float32(1)) * np.float32(spec["a"]) + np.float32(spec["b"])
    return values.astype(float).reshape(spec["shape"])


def all_weights(specs, seed):
    weights = {spec["name"]: tensor(spec, seed) for spec in specs}
    for name in [name for name in weights if name.endswith("_scale_inv")]:
        code = name.removesuffix("_scale_inv")
        out, inp = weights[code].shape
        scale = weights.pop(name).repeat(FP8_BLOCK, 0)[:out].repeat(FP8_BLOCK, 1)[:, :inp]
        weights[code] = weights[code] * scale
    return weights


def yarn_g(factor, mscale):
    return 0.1 * mscale * math.log(factor) + 1 if factor > 1 else 1.0


def silu(x):
    return x / (1 + np.exp(-x))


class DeepSeekV3:
    def __init__(self, cfg, weights):
        self.cfg, self.w = cfg, weights
        self.margin = math.inf  # of the closest routing decision
        section, dim, base = cfg["rope_scaling"], cfg["qk_rope_head_dim"], cfg["rope_theta"]
        factor, original = section["factor"], section["original_max_position_embeddings"]

        def turns_at(turns):
            return dim * math.log(original / (2 * math.pi * turns)) / (2 * math.log(base))

        low = max(math.floor(turns_at(section["beta_fast"])), 0)
        high = min(math.ceil(turns_at(section["beta_slow"])), dim - 1)
        i = np.arange(dim // 2)
        plain = base ** (-2.0 * i / dim)
        ramp = np.clip((i - low) / max(high - low, 0.001), 0, 1)
        self.frequencies = plain / factor * ramp + plain * (1 - ramp)
        self.rope_factor = yarn_g(factor, section["mscale"]) / yarn_g(factor, section["mscale_all_dim"])
        head = cfg["qk_nope_head_dim"] + dim
        self.score_scale = yarn_g(factor, section["mscale_all_dim"]) ** 2 / math.sqrt(head)

    def rms(self, x, name, eps=None):
        eps = self.cfg["rms_norm_eps"] if eps is None else eps
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * self.w[name + ".weight"]

    def lin(self, x, name):
        return x @ self.w[name + ".weight"].T

    def rotate(self, x):
        """x [tokens, heads, dim]: each pair (2i, 2i + 1) is a complex number."""
        angle = np.arange(len(x))[:, None, None] * self.frequencies
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angle) * self.rope_factor
        return np.stack([turned.real, turned.imag], -1).reshape(x.shape)

    def attend(self, x, p):
        """Keys and values expanded for each head."""
        cfg, t = self.cfg, len(x)
        heads, nope, lora = cfg["num_attention_heads"], cfg["qk_nope_head_dim"], cfg["kv_lora_rank"]
        if cfg["q_lora_rank"] is None:
            q = self.lin(x, p + "q_proj")
        else:
            q = self.lin(self.rms(self.lin(x, p + "q_a_proj"), p + "q_a_layernorm", LATENT_EPS), p + "q_b_proj")
        q = q.reshape(t, heads, -1)
        joined = self.lin(x, p + "kv_a_proj_with_mqa")
        kv = self.lin(self.rms(joined[:, :lora], p + "kv_a_layernorm", LATENT_EPS), p + "kv_b_proj").reshape(t, heads, -1)
        key_rope = self.rotate(joined[:, None, lora:]).repeat(heads, 1)
        q = np.concatenate([q[..., :nope], self.rotate(q[..., nope:])], -1)
        k = np.concatenate([kv[..., :nope], key_rope], -1)
        scores = np.einsum("shd,thd->hst", q, k) * self.score_scale
        scores = np.where(np.tri(t, dtype=bool), scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        return self.lin(np.einsum("hst,thd->shd", scores, kv[..., nope:]).reshape(t, -1), p + "o_proj")

    def ffn(self, x, p):
        return self.lin(silu(self.lin(x, p + "gate_proj")) * self.lin(x, p + "up_proj"), p + "down_proj")

    def clear(self, ordered, kept):
        if kept < len(ordered):
            self.margin = min(self.margin, ordered[kept - 1] - ordered[kept])

    def experts(self, x, p):
        cfg = self.cfg
        scores = 1 / (1 + np.exp(-self.lin(x, p + "gate")))
        choice = scores + self.w[p + "gate.e_score_correction_bias"]
        out = self.ffn(x, p + "shared_experts.")
        for row in range(len(x)):
            groups = choice[row].reshape(cfg["n_group"], -1)
            rank = np.sort(groups, -1)[:, -2:].sum(-1)
            self.clear(np.sort(rank)[::-1], cfg["topk_group"])
            kept = np.full_like(groups, -np.inf)
            best = np.argsort(-rank)[: cfg["topk_group"]]
            kept[best] = groups[best]
            kept = kept.reshape(-1)
            self.clear(np.sort(kept)[::-1], cfg["num_experts_per_tok"])
            chosen = np.argsort(-kept)[: cfg["num_experts_per_tok"]]
            weights = scores[row][chosen]
            if cfg["norm_topk_prob"]:
                weights = weights / weights.sum()
            for e, weight in zip(chosen, weights * cfg["routed_scaling_factor"]):
                out[row] += weight * self.ffn(x[row], f"{p}experts.{e}.")
        return out

    def layer(self, h, number):
        p = f"model.layers.{number}."
        h = h + self.attend(self.rms(h, p + "input_layernorm"), p + "self_attn.")
        x = self.rms(h, p + "post_attention_layernorm")
        return h + (self.ffn if number < self.cfg["first_k_dense_replace"] else self.experts)(x, p + "mlp.")

    def hidden(self, ids):
        h = self.w["model.embed_tokens.weight"][ids]
        for number in range(self.cfg["num_hidden_layers"]):
            h = self.layer(h, number)
        return self.rms(h, "model.norm")

    def logits(self, ids):
        return self.lin(self.hidden(ids), "lm_head")

    def multi_token_logits(self, ids):
        """Row i: of token i + 2, from the hidden state of token i and the embedding of token i + 1 (section 2.2)."""
        h = self.hidden(ids[:-1])
        e = self.w["model.embed_tokens.weight"][ids[1:]]
        number = self.cfg["num_hidden_layers"]
        p = f"model.layers.{number}."
        self.margin = math.inf
        both = np.concatenate([self.rms(e, p + "enorm"), self.rms(h, p + "hnorm")], -1)
        guess = self.layer(self.lin(both, p + "eh_proj"), number)
        return self.lin(self.rms(guess, p + "shared_head.norm"), "lm_head")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "models")
    models = parser.parse_args().models
    for folder in sorted(path.parent for path in models.glob("*/config.json")):
        cfg = json.loads((folder / "config.json").read_text())
        if not cfg.get("num_nextn_predict_layers"):
            continue
        golden = json.loads((folder / "golden.json").read_text())
        ids = golden["prompt"] + golden["greedy"]
        model = DeepSeekV3(cfg, all_weights(golden["tensors"], golden["seed"]))
        expected = np.fromfile(folder / "logits.f32", "<f4").reshape(len(ids), -1)
        noise = (abs(model.logits(ids) - expected).max(-1) / abs(expected).max(-1)).max()
        assert noise < golden["tolerance"] / 10, f"{folder.name}: the model's own logits differ by {noise}"
        guesses = model.multi_token_logits(ids)
        print(f"{folder.name}: noise {noise:.2e}, router margin {model.margin:.2g}")
        assert model.margin > golden["tolerance"], f"{folder.name}: a routing decision is as close as {model.margin}"
        guesses.astype("<f4").tofile(folder / "multi_token.f32")


if __name__ == "__main__":
    main()
