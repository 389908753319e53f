"""Writes what a calibrator reads: a text's KV cache and the gradients of the model's own future at it, as safetensors.

k, v [layers, tokens, kv_heads, head_dim] as an engine caches them; gk, gv [rows, layers, tokens, kv_heads, head_dim]: gradients of
-log p(y) summed over the following tokens, y drawn from the model; q, attn, wo on request. Metadata as `sluice codec` reads it.
"""

import numpy as np
import torch

from sluice.quality import safetensors_file
from sluice.quality.model import Trace
from sluice.quality.rope import Rope


def rope_metadata(ropes):
    """The rotation of all layers. Errors: ValueError where layers differ otherwise than by a base of those that are not every n-th."""
    own = next((rope for rope in reversed(ropes) if rope != ropes[0]), ropes[0])
    metadata = own.metadata()
    if own == ropes[0]:
        return metadata
    period, local = ropes.index(own) + 1, ropes[0]
    as_told = [own if (layer + 1) % period == 0 else local for layer in range(len(ropes))]
    if list(ropes) != as_told or local != Rope(own.style, local.base, own.dims):
        raise ValueError("layers turn K in ways that the codec has no words for")
    return metadata | {"rope.local_base": repr(float(local.base)), "rope.local_period": str(period)}


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
