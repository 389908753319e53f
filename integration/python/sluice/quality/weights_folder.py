"""Reads a model folder (config.json, *.safetensors, tokenizer.json) of Llama, Qwen2, Qwen3 or Gemma 3 shape into a float32 Decoder."""

import json
import math
import pathlib

import numpy as np
import torch

from sluice.quality import safetensors_file
from sluice.quality.model import Architecture, Decoder
from sluice.quality.rope import Rope
from sluice.quality.tokens import FromFile

LAYER_NAMES = {
    "input_layernorm.weight": "attention_norm", "self_attn.q_proj.weight": "q", "self_attn.k_proj.weight": "k",
    "self_attn.v_proj.weight": "v", "self_attn.q_proj.bias": "q_bias", "self_attn.k_proj.bias": "k_bias",
    "self_attn.v_proj.bias": "v_bias", "self_attn.o_proj.weight": "o", "self_attn.q_norm.weight": "q_norm",
    "self_attn.k_norm.weight": "k_norm", "post_attention_layernorm.weight": "feed_norm", "mlp.gate_proj.weight": "gate",
    "mlp.up_proj.weight": "up", "mlp.down_proj.weight": "down",
}
GEMMA_NAMES = {"post_attention_layernorm.weight": "attention_post_norm", "pre_feedforward_layernorm.weight": "feed_norm",
               "post_feedforward_layernorm.weight": "feed_post_norm"}
TOP_NAMES = {"embed_tokens.weight": "embedding", "norm.weight": "final_norm", "lm_head.weight": "output"}
KINDS = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text")


def read_weights(folder, is_gemma):
    """Decoder names to float32 tensors. Gemma's gains are stored as gain - 1."""
    names = {**LAYER_NAMES, **GEMMA_NAMES} if is_gemma else LAYER_NAMES
    weights = {}
    for path in sorted(folder.glob("*.safetensors")):
        for name, values in safetensors_file.read(path)[0].items():
            short = name.removeprefix("model.")
            key = TOP_NAMES.get(short)
            if short.startswith("layers."):
                _, layer, rest = short.split(".", 2)
                key = (int(layer), names[rest]) if rest in names else None
            if key is None:
                if "rotary_emb" in name:
                    continue
                raise ValueError(f"tensor {name} belongs to an architecture that is not supported")
            data = torch.from_numpy(np.array(values, np.float32))
            weights[key] = data + 1 if is_gemma and "norm" in name else data
    weights.setdefault("output", weights["embedding"])
    return weights


def read_architecture(config):
    """Errors: ValueError for a model type or scaling that is not supported."""
    kind = config["model_type"]
    if kind not in KINDS:
        raise ValueError(f"model type {kind} is not supported ({', '.join(KINDS)} are)")
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    turned = int(head_dim * config.get("partial_rotary_factor", 1.0))
    rope = Rope("halves", float(config.get("rope_theta", 10000.0)), turned, config.get("rope_scaling"))
    rope.frequencies()  # refuses a scaling that is not known
    window = config.get("sliding_window") or 0
    if kind.startswith("qwen") and not config.get("use_sliding_window", False):
        window = 0
    ropes, windows, scale = [rope] * layers, [window] * layers, head_dim**-0.5
    if kind == "gemma3_text":
        period = config.get("sliding_window_pattern", 6)
        is_local = [(layer + 1) % period != 0 for layer in range(layers)]
        local = Rope("halves", float(config.get("rope_local_base_freq", 10000.0)), head_dim)
        ropes, windows = [local if here else rope for here in is_local], [window if here else 0 for here in is_local]
        scale = config.get("query_pre_attn_scalar", head_dim) ** -0.5
    is_gemma = kind == "gemma3_text"
    return Architecture(config.get("num_key_value_heads", heads), heads, head_dim, config["rms_norm_eps"], tuple(ropes), tuple(windows),
                        scale, math.sqrt(config["hidden_size"]) if is_gemma else 1.0, is_gemma)


def load(path):
    """(Decoder, tokenizer) of a folder."""
    folder = pathlib.Path(path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architecture = read_architecture(config)
    return Decoder(architecture, read_weights(folder, architecture.gelu)), FromFile(folder / "tokenizer.json")
