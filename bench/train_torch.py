"""The model of `landfall bench --random llama-small` trained by PyTorch on random tokens: whole steps with AdamW, fused
attention, in bf16 autocast or f32, eager or compiled, as JSON. For script/bench --training --against-torch."""

import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

WIDTH, HEADS, FFN, VOCAB = 512, 8, 1376, 8192


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn_norm, self.ffn_norm = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(WIDTH, FFN, bias=False) for _ in range(2))
        self.down = nn.Linear(FFN, WIDTH, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        def heads(t):  # [sequences, heads, positions, head_dim]
            return t.view(*t.shape[:2], HEADS, -1).transpose(1, 2)

        def rope(t):
            low, high = t.chunk(2, dim=-1)
            return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1)

        h = self.attn_norm(x)
        q, k, v = rope(heads(self.q(h))), rope(heads(self.k(h))), heads(self.v(h))
        a = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
        x = x + self.o(a.transpose(1, 2).flatten(2))
        h = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Llama(nn.Module):
    def __init__(self, layers: int):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(layers))
        self.norm, self.head = nn.RMSNorm(WIDTH), nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        dim = WIDTH // HEADS
        angle = torch.arange(tokens.shape[1])[:, None] * 1e4 ** (-torch.arange(0, dim, 2) / dim)
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, angle.cos(), angle.sin())
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1).float(), targets.flatten())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--f32", action="store_true")
    parser.add_argument("--compile", action="store_true")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    model = Llama(a.layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    run = torch.compile(model) if a.compile else model
    tokens = torch.randint(VOCAB, (a.sequences, a.prompt + 1))
    seconds = []
    for step in range(-2, a.repeats):  # two warm up; the first compiles
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=not a.f32):
            loss = run(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step >= 0:
            seconds.append(time.perf_counter() - start)
    count = a.sequences * a.prompt
    print(json.dumps({
        "program": f"PyTorch {torch.__version__}, {'f32' if a.f32 else 'bf16'}, {'compiled' if a.compile else 'eager'}",
        "training_tokens_per_second": count / statistics.median(seconds),
        "training_spread": [count / max(seconds), count / statistics.median(seconds), count / min(seconds)],
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
