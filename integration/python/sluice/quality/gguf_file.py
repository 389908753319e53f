"""Reads a GGUF file (llama, qwen2, qwen3, gemma3) into a float32 Decoder and its tokenizer; every tensor is dequantised at once.

GGUF stores llama's q and k so that RoPE turns adjacent pairs; the other architectures turn halves. Gemma's gains hold the +1 already.
"""

import math

import numpy as np
import torch

from sluice.quality.model import Architecture, Decoder
from sluice.quality.rope import Rope
from sluice.quality.tokens import gguf_tokenizer

STYLES = {"llama": "pairs", "qwen2": "halves", "qwen3": "halves", "gemma3": "halves"}
LAYER_NAMES = {
    "attn_norm.weight": "attention_norm", "attn_q.weight": "q", "attn_k.weight": "k", "attn_v.weight": "v",
    "attn_q.bias": "q_bias", "attn_k.bias": "k_bias", "attn_v.bias": "v_bias", "attn_output.weight": "o",
    "attn_q_norm.weight": "q_norm", "attn_k_norm.weight": "k_norm", "post_attention_norm.weight": "attention_post_norm",
    "ffn_norm.weight": "feed_norm", "ffn_gate.weight": "gate", "ffn_up.weight": "up", "ffn_down.weight": "down",
    "post_ffw_norm.weight": "feed_post_norm",
}
TOP_NAMES = {"token_embd.weight": "embedding", "output.weight": "output", "output_norm.weight": "final_norm"}
GEMMA_LOCAL_BASE = 10000.0  # of the layers with a window; GGUF names the other one only
GEMMA_PERIOD = 6            # every sixth layer sees everything


class Fields:
    """Typed look at a GGUF file's key-value pairs."""

    def __init__(self, reader):
        self.fields = reader.fields
        self.architecture = self.text("general.architecture")

    def text(self, name, fallback=""):
        return bytes(self.fields[name].parts[-1]).decode() if name in self.fields else fallback

    def number(self, name, fallback=None):
        """A number of this architecture. Errors: ValueError where it is missing and there is no fallback."""
        field = self.fields.get(f"{self.architecture}.{name}")
        if field is None and fallback is None:
            raise ValueError(f"the file has no {self.architecture}.{name}")
        return fallback if field is None else field.parts[-1][0].item()

    def strings(self, name):
        return [bytes(self.fields[name].parts[index]).decode("utf8", "replace") for index in self.fields[name].data]

    def numbers(self, name):
        return [self.fields[name].parts[index][0].item() for index in self.fields[name].data]


def read_weights(reader):
    """Decoder names to float32 tensors, and the tensor of RoPE factors where there is one."""
    from gguf.quants import dequantize
    weights, factors = {}, None
    for tensor in reader.tensors:
        data = torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), np.float32))
        if tensor.name in TOP_NAMES:
            weights[TOP_NAMES[tensor.name]] = data
        elif tensor.name.startswith("blk."):
            _, layer, rest = tensor.name.split(".", 2)
            if rest not in LAYER_NAMES:
                raise ValueError(f"tensor {tensor.name} belongs to an architecture that is not supported")
            weights[int(layer), LAYER_NAMES[rest]] = data
        elif tensor.name == "rope_freqs.weight":
            factors = data.tolist()
    weights.setdefault("output", weights["embedding"])
    return weights, factors


def read_architecture(fields, factors):
    """Errors: ValueError for an architecture or a scaling that is not supported."""
    name = fields.architecture
    if name not in STYLES:
        raise ValueError(f"architecture {name} is not supported ({', '.join(STYLES)} are)")
    layers, query_heads = int(fields.number("block_count")), int(fields.number("attention.head_count"))
    model_dim = int(fields.number("embedding_length"))
    head_dim = int(fields.number("attention.key_length", model_dim // query_heads))
    scaling = {"rope_type": "factors", "factors": factors} if factors else None
    kind = fields.text(f"{name}.rope.scaling.type", "none")
    if kind == "linear":
        scaling = {"rope_type": "linear", "factor": fields.number("rope.scaling.factor")}
    elif kind != "none":
        raise ValueError(f"rope scaling {kind} is not supported")
    rope = Rope(STYLES[name], float(fields.number("rope.freq_base", 10000.0)), int(fields.number("rope.dimension_count", head_dim)), scaling)
    ropes, windows = [rope] * layers, [0] * layers
    if name == "gemma3":
        local = Rope("halves", GEMMA_LOCAL_BASE, head_dim)
        is_local = [(layer + 1) % GEMMA_PERIOD != 0 for layer in range(layers)]
        ropes = [local if here else rope for here in is_local]
        windows = [int(fields.number("attention.sliding_window")) if here else 0 for here in is_local]
    return Architecture(int(fields.number("attention.head_count_kv", query_heads)), query_heads, head_dim,
                        float(fields.number("attention.layer_norm_rms_epsilon")), tuple(ropes), tuple(windows), head_dim**-0.5,
                        math.sqrt(model_dim) if name == "gemma3" else 1.0, name == "gemma3")


def load(path):
    """(Decoder, Tokenizer) of a GGUF file."""
    from gguf import GGUFReader
    reader = GGUFReader(path)
    fields = Fields(reader)
    weights, factors = read_weights(reader)
    return Decoder(read_architecture(fields, factors), weights), gguf_tokenizer(fields)
