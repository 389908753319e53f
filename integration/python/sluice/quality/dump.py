"""Writes what a calibrator reads: a text's KV cache and the gradients of the model's own future at it, as safetensors.

k, v [layers, tokens, kv_heads, head_dim] as an engine caches them; gk, gv [rows, layers, tokens, kv_heads, head_dim]: gradients of
-log p(y) summed over the following tokens, y drawn from the model; q, attn, wo on request. Metadata as `sluice codec` reads it.
"""

import collections
import json

import numpy as np
import torch

from sluice.quality import safetensors_file
from sluice.quality.model import Trace


def rope_metadata(ropes):
    """The rotation of most layers; models with several also get rope.by_layer, a JSON list of each layer's own base."""
    told = collections.Counter(json.dumps(rope.metadata()) for rope in ropes)
    metadata = json.loads(told.most_common(1)[0][0])
    if len(told) > 1:
        metadata["rope.by_layer"] = json.dumps([rope.base for rope in ropes])
    return metadata


def received_attention(decoder, tokens, trace):
    with torch.no_grad():
        decoder.forward(tokens, logits_from=len(tokens), trace=trace)
    return torch.stack(trace.queries).numpy(), torch.stack(trace.received).numpy()


def write_dump(path, decoder, tokens, options):
    """tokens: the context and the `options.following` after it. options: following, gradients, dtype, extras, seed."""
    context = len(tokens) - options.following
    with torch.no_grad():
        _, (k, v) = decoder.forward(tokens[:context], logits_from=context)
    tensors = {"k": (k.numpy(), options.dtype), "v": (v.numpy(), options.dtype)}
    if options.gradients:
        generator = torch.Generator().manual_seed(options.seed)
        gk, gv = decoder.score_gradients(tokens, context, options.gradients, generator)
        tensors |= {"gk": (gk.numpy(), "F32"), "gv": (gv.numpy(), "F32")}
    if options.extras:
        trace = Trace([], [])
        queries, received = received_attention(decoder, tokens[:context], trace)
        output = np.stack([decoder.weights[layer, "o"].numpy() for layer in range(decoder.architecture.layers)])
        tensors |= {"q": (queries, options.dtype), "attn": (received, "F32"), "wo": (output, options.dtype)}
    metadata = rope_metadata(decoder.architecture.ropes)
    metadata |= {"position.first": "0", "gradients.following": str(options.following), "gradients.seed": str(options.seed)}
    safetensors_file.write(path, tensors, metadata)
    return {name: list(x.shape) for name, (x, _) in tensors.items()}
