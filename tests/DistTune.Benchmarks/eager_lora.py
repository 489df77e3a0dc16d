#!/usr/bin/env python3
"""The peer of `disttune bench train`: LoRA on a Llama-shaped model as a plain eager PyTorch loop.

Weights are noise; only the speed counts. Rows of a file are padded to the longest of their batch, and logits are
computed at every position, as common training loops do. Needs torch 1.13 or later and nothing else.

Prints one JSON object: torch, tokens_per_s (padding left out), trained_tokens_per_s, tokens_per_s_best, peak_rss_gb.
"""
import argparse
import json
import os
import resource
import time


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="config.json of the model")
    parser.add_argument("--rows", help="JSON Lines with input_ids and labels; noise by default")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq", type=int, default=256)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--checkpoint", action="store_true")
    return parser.parse_args()


OPTIONS = options()
os.environ["OMP_NUM_THREADS"] = str(OPTIONS.threads)

import torch  # noqa: E402 (the thread count must be set before)
import torch.nn.functional as functional  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

WARM_UP = 2
IGNORED = -100
ALPHA = 16.0


class Shape:
    """The fields of config.json that a Llama needs."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            fields = json.load(file)
        self.vocabulary = fields["vocab_size"]
        self.width = fields["hidden_size"]
        self.inner = fields["intermediate_size"]
        self.layers = fields["num_hidden_layers"]
        self.heads = fields["num_attention_heads"]
        self.pairs = fields.get("num_key_value_heads", self.heads)
        self.head = fields.get("head_dim") or self.width // self.heads
        self.theta = fields.get("rope_theta", 10000.0)
        self.epsilon = fields.get("rms_norm_eps", 1e-5)


def frozen(*size, dtype):
    return torch.nn.Parameter((torch.rand(*size) - 0.5).mul_(0.04).to(dtype), requires_grad=False)


class RmsNorm(torch.nn.Module):
    def __init__(self, width, epsilon, dtype):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(width, dtype=dtype), requires_grad=False)
        self.epsilon = epsilon

    def forward(self, x):
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.epsilon)
        return self.gain * scaled.to(x.dtype)


class AdaptedLinear(torch.nn.Module):
    """y = W x + alpha / r B A x with W frozen."""

    def __init__(self, size_in, size_out, rank, dtype):
        super().__init__()
        self.weight = frozen(size_out, size_in, dtype=dtype)
        self.a = torch.nn.Parameter(torch.randn(rank, size_in) / size_in ** 0.5)
        self.b = torch.nn.Parameter(torch.zeros(size_out, rank))
        self.scale = ALPHA / rank

    def forward(self, x):
        update = functional.linear(functional.linear(x.float(), self.a), self.b) * self.scale
        return functional.linear(x, self.weight) + update.to(x.dtype)


class Block(torch.nn.Module):
    def __init__(self, shape, rank, dtype):
        super().__init__()
        self.shape = shape
        query, pair = shape.heads * shape.head, shape.pairs * shape.head
        self.before_attention = RmsNorm(shape.width, shape.epsilon, dtype)
        self.before_mlp = RmsNorm(shape.width, shape.epsilon, dtype)
        self.query = AdaptedLinear(shape.width, query, rank, dtype)
        self.key = AdaptedLinear(shape.width, pair, rank, dtype)
        self.value = AdaptedLinear(shape.width, pair, rank, dtype)
        self.out = AdaptedLinear(query, shape.width, rank, dtype)
        self.gate = AdaptedLinear(shape.width, shape.inner, rank, dtype)
        self.up = AdaptedLinear(shape.width, shape.inner, rank, dtype)
        self.down = AdaptedLinear(shape.inner, shape.width, rank, dtype)

    def heads(self, x, count):
        return x.unflatten(-1, (count, self.shape.head)).transpose(1, 2)

    def attention(self, x, cosine, sine, mask):
        shape = self.shape
        query = turn(self.heads(self.query(x), shape.heads), cosine, sine)
        key = turn(self.heads(self.key(x), shape.pairs), cosine, sine)
        value = self.heads(self.value(x), shape.pairs)
        repeat = shape.heads // shape.pairs
        key, value = key.repeat_interleave(repeat, dim=1), value.repeat_interleave(repeat, dim=1)
        if hasattr(functional, "scaled_dot_product_attention"):
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        else:
            scores = query @ key.transpose(2, 3) * shape.head ** -0.5 + mask
            mixed = torch.softmax(scores.float(), dim=-1).to(query.dtype) @ value
        return self.out(mixed.transpose(1, 2).flatten(2))

    def forward(self, x, cosine, sine, mask):
        x = x + self.attention(self.before_attention(x), cosine, sine, mask)
        y = self.before_mlp(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


def turn(x, cosine, sine):
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


class Llama(torch.nn.Module):
    def __init__(self, shape, rank, dtype):
        super().__init__()
        self.shape = shape
        self.embedding = frozen(shape.vocabulary, shape.width, dtype=dtype)
        self.blocks = torch.nn.ModuleList(Block(shape, rank, dtype) for _ in range(shape.layers))
        self.norm = RmsNorm(shape.width, shape.epsilon, dtype)

    def forward(self, ids, mask):
        x = functional.embedding(ids, self.embedding)
        frequency = self.shape.theta ** (-torch.arange(0, self.shape.head, 2).float() / self.shape.head)
        angle = torch.outer(torch.arange(ids.shape[1]).float(), frequency).repeat(1, 2)
        cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        if OPTIONS.checkpoint:
            x.requires_grad_(True)
        for block in self.blocks:
            if OPTIONS.checkpoint:
                x = checkpoint(block, x, cosine, sine, mask, use_reentrant=False)
            else:
                x = block(x, cosine, sine, mask)
        return functional.linear(self.norm(x), self.embedding)


def batches(shape, dtype):
    """Yields ids, labels and the additive mask of each step, for ever."""
    if OPTIONS.rows:
        with open(OPTIONS.rows, encoding="utf-8") as file:
            rows = [json.loads(line) for line in file if line.strip()]
    else:
        rows = None
    step = 0
    while True:
        if rows is None:
            part = [torch.randint(shape.vocabulary, (OPTIONS.seq,)).tolist() for _ in range(OPTIONS.batch)]
            pairs = [(ids, ids) for ids in part]
        else:
            part = [rows[(step * OPTIONS.batch + i) % len(rows)] for i in range(OPTIONS.batch)]
            pairs = [(row["input_ids"], row["labels"]) for row in part]
        longest = max(len(ids) for ids, _ in pairs)
        ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in pairs])
        labels = torch.tensor([own + [IGNORED] * (longest - len(own)) for _, own in pairs])
        # Padding stands behind a row's own tokens, so the causal mask hides it from them.
        mask = torch.full((longest, longest), float("-inf"), dtype=dtype).triu(1)
        yield ids, labels, mask, sum(len(own) for own, _ in pairs)
        step += 1


def main():
    torch.set_num_threads(OPTIONS.threads)
    torch.manual_seed(0)
    dtype = getattr(torch, OPTIONS.dtype)
    shape = Shape(OPTIONS.config)
    model = Llama(shape, OPTIONS.rank, dtype).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0)
    source = batches(shape, dtype)
    seconds, tokens, labelled = [], [], []
    for _ in range(WARM_UP + OPTIONS.steps):
        ids, labels, mask, count = next(source)
        began = time.perf_counter()
        logits = model(ids, mask)[:, :-1].float()
        loss = functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - began)
        tokens.append(count)
        labelled.append(int((labels[:, 1:] != IGNORED).sum()))
    counted = list(zip(tokens, labelled, seconds))[WARM_UP:]
    total = sum(time for _, _, time in counted)
    print(json.dumps({
        "torch": torch.__version__,
        "tokens_per_s": sum(count for count, _, _ in counted) / total,
        "trained_tokens_per_s": sum(count for _, count, _ in counted) / total,
        "tokens_per_s_best": max(count / time for count, _, time in counted),
        "peak_rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 20,
    }))


if __name__ == "__main__":
    main()
