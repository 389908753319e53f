"""A decoder-only transformer in float32 with its KV cache laid open: captured, replaced, and differentiated by autograd.

Place in the flow: loaders (gguf_file, weights_folder) build it; dumps, the judge and every scheme's comparison run it.
Words: a *cache* is the pair (k, v), each [layers, tokens, kv_heads, head_dim], K as an engine caches it: normalised and rotated.
Covers Llama, Qwen2, Qwen3 and Gemma 3: both RoPE layouts, biases, GQA, QK norm, sliding windows, RoPE per layer, tied embeddings.
Invariant: a forward pass over a suffix with the prefix's own cache equals the pass over the whole (selfcheck.py).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as functional

QUERY_BLOCK = 512  # queries attended at once: bounds the memory of long contexts


@dataclass(frozen=True)
class Architecture:
    """What the weights do not say. ropes, windows: one a layer; a window of 0 sees everything."""

    kv_heads: int
    query_heads: int
    head_dim: int
    norm_epsilon: float
    ropes: tuple
    windows: tuple
    attention_scale: float
    embedding_scale: float = 1.0
    gelu: bool = False

    @property
    def layers(self):
        return len(self.ropes)


@dataclass
class Trace:
    """What a forward pass can give beside logits: rotated queries [tokens, heads, head_dim] and received attention, by layer."""

    queries: list
    received: list
    attention_of_last: int = 128


def rms_norm(x, gain, epsilon):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * gain


class Decoder:
    """weights: "embedding", "output", "final_norm" and (layer, name) to tensors of one float type. Threads: not shared."""

    def __init__(self, architecture, weights):
        self.architecture = architecture
        self.weights = weights

    def empty_cache(self):
        shape = (self.architecture.layers, 0, self.architecture.kv_heads, self.architecture.head_dim)
        empty = torch.zeros(shape, dtype=self.weights["embedding"].dtype)
        return empty, empty

    def forward(self, tokens, past=None, logits_from=0, trace=None):
        """tokens (ints) follow the cache `past`. Returns (logits of tokens[logits_from:], cache of the new tokens)."""
        shape, weights = self.architecture, self.weights
        past_k, past_v = self.empty_cache() if past is None else past
        x = weights["embedding"][torch.as_tensor(tokens)] * shape.embedding_scale
        keys, values = [], []
        for layer in range(shape.layers):
            normed = rms_norm(x, weights[layer, "attention_norm"], shape.norm_epsilon)
            query, key, value = self.project_heads(layer, normed, past_k.shape[1])
            keys.append(key)
            values.append(value)
            mixed = self.attend(layer, query, torch.cat([past_k[layer], key]), torch.cat([past_v[layer], value]), trace)
            x = x + self.post_norm(layer, "attention", mixed.flatten(1) @ weights[layer, "o"].T)
            normed = rms_norm(x, weights[layer, "feed_norm"], shape.norm_epsilon)
            gate = normed @ weights[layer, "gate"].T
            gate = functional.gelu(gate, approximate="tanh") if shape.gelu else functional.silu(gate)
            x = x + self.post_norm(layer, "feed", (gate * (normed @ weights[layer, "up"].T)) @ weights[layer, "down"].T)
        last = rms_norm(x[logits_from:], weights["final_norm"], shape.norm_epsilon)
        return last @ weights["output"].T, (torch.stack(keys), torch.stack(values))

    def post_norm(self, layer, part, x):
        gain = self.weights.get((layer, f"{part}_post_norm"))
        return x if gain is None else rms_norm(x, gain, self.architecture.norm_epsilon)

    def project_heads(self, layer, normed, first):
        """Query, key (both normalised where the model does, and rotated) and value of tokens from position `first` on."""
        shape = self.architecture
        out = []
        for name, heads in (("q", shape.query_heads), ("k", shape.kv_heads), ("v", shape.kv_heads)):
            x = normed @ self.weights[layer, name].T
            if (layer, name + "_bias") in self.weights:
                x = x + self.weights[layer, name + "_bias"]
            x = x.reshape(len(normed), heads, shape.head_dim)
            if (layer, name + "_norm") in self.weights:
                x = rms_norm(x, self.weights[layer, name + "_norm"], shape.norm_epsilon)
            out.append(x if name == "v" else shape.ropes[layer].rotate(x, first))
        return out

    def attend(self, layer, query, key, value, trace):
        """Causal attention of the last len(query) positions over all of key and value; [tokens, heads, head_dim]."""
        shape = self.architecture
        first, total = len(key) - len(query), len(key)
        grouped = query.reshape(len(query), shape.kv_heads, -1, shape.head_dim).permute(1, 2, 0, 3)  # kv head, group, token
        key, value = key.permute(1, 2, 0)[:, None], value.permute(1, 0, 2)[:, None]
        received = torch.zeros(total)
        blocks = []
        for start in range(0, len(query), QUERY_BLOCK):
            end = min(start + QUERY_BLOCK, len(query))
            seen = first + end
            score = grouped[:, :, start:end] @ key[..., :seen] * shape.attention_scale
            at = torch.arange(first + start, seen)[:, None]
            hidden = torch.arange(seen) > at
            if shape.windows[layer]:
                hidden |= torch.arange(seen) <= at - shape.windows[layer]
            weight = score.masked_fill(hidden, float("-inf")).softmax(-1)
            if trace is not None:
                counted = weight[:, :, (at >= total - trace.attention_of_last)[:, 0]]
                received[:seen] += counted.detach().sum((0, 1, 2)).float()
            blocks.append(weight @ value[:, :, :seen])
        if trace is not None:
            trace.queries.append(query.detach())
            trace.received.append(received / (shape.query_heads * min(trace.attention_of_last, len(query))))
        return torch.cat(blocks, 2).permute(2, 0, 1, 3).reshape(len(query), shape.query_heads, shape.head_dim)

    def score_gradients(self, tokens, context, rows, generator):
        """Gradients of -log p(y) of the tokens after `context`, teacher-forced, with respect to the cache of the context.

        y is drawn from the model itself, anew for each row. Returns (gk, gv), each [rows, layers, context, kv_heads, head_dim].
        """
        with torch.no_grad():
            _, cache = self.forward(tokens[:context], logits_from=context)
        k, v = (part.detach().requires_grad_(True) for part in cache)
        logits, _ = self.forward(tokens[context:], past=(k, v))
        log_p = logits.log_softmax(-1)
        gradients = []
        for row in range(rows):
            drawn = torch.multinomial(log_p.detach().exp(), 1, generator=generator)
            loss = -log_p.gather(1, drawn).sum()
            gradients.append(torch.autograd.grad(loss, (k, v), retain_graph=row + 1 < rows))
        return tuple(torch.stack(parts) for parts in zip(*gradients))
