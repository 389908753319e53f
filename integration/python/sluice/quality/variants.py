"""Models changed on purpose: what the harness has no weights of.

*Key biases*: a constant of 100 to 350 on some channels of K before RoPE, as models of the Qwen2.5 kind have them in their first layer, and
a tenth of it in the next two. They sit in the pairs that turn slowest: there RoPE moves them least over a text, so that the model, which
never learned them, still predicts sensibly. Damage is that to the changed model itself.
"""

import numpy as np
import torch

BIASED_PAIRS = 3
SMALLEST, LARGEST = 100, 350
SHARES = (1.0, 0.1, 0.1)  # by layer


def add_key_biases(decoder, seed=1):
    """Changes the weights. Errors: ValueError for a model that normalises its keys, where a bias would do nothing."""
    shape, chance = decoder.architecture, np.random.default_rng(seed)
    if (0, "k_norm") in decoder.weights:
        raise ValueError("the model normalises its keys: a bias before that is none")
    for layer, share in enumerate(SHARES):
        bias = np.zeros((shape.kv_heads, shape.head_dim), np.float32)
        for channel in slowest_channels(shape.ropes[layer]):
            bias[:, channel] = share * chance.uniform(SMALLEST, LARGEST, shape.kv_heads) * chance.choice((-1, 1), shape.kv_heads)
        known = decoder.weights.get((layer, "k_bias"), torch.zeros(bias.size))
        decoder.weights[layer, "k_bias"] = known + torch.from_numpy(bias.reshape(-1))


def slowest_channels(rope):
    """Both channels of the pairs that turn slowest."""
    pairs = np.argsort(rope.frequencies())[:BIASED_PAIRS]
    if rope.style == "pairs":
        return [2 * pair + odd for pair in pairs for odd in (0, 1)]
    return [pair + half for pair in pairs for half in (0, rope.dims // 2)]
