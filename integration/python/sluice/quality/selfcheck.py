"""Checks the model on tiny random weights in float64: split forward equals whole forward, autograd equals central differences.

Covers both RoPE layouts, biases, QK norm, a sliding window, post norms and two RoPE bases in one model.
"""

import torch

from sluice.quality.model import Architecture, Decoder
from sluice.quality.rope import Rope

LIMIT = 1e-6
STEP = 1e-5


def random_decoder(style, is_rich, generator):
    """Two layers of width 32; is_rich: biases, QK and post norms, GELU, a window and a second RoPE base."""
    ropes = (Rope(style, 10000.0, 8), Rope(style, 500.0 if is_rich else 10000.0, 8 if is_rich else 6))
    architecture = Architecture(2, 4, 8, 1e-5, ropes, (7, 0) if is_rich else (0, 0), 8**-0.5, 2.0 if is_rich else 1.0, is_rich)

    def normal(*shape, around=0.0):
        return around + 0.3 * torch.randn(shape, generator=generator, dtype=torch.float64)

    weights = {"embedding": normal(50, 32) * 3, "output": normal(50, 32), "final_norm": normal(32, around=1.0)}
    sizes = dict(q=(32, 32), k=(16, 32), v=(16, 32), o=(32, 32), gate=(48, 32), up=(48, 32), down=(32, 48))
    for layer in range(2):
        weights |= {(layer, name): normal(*size) for name, size in sizes.items()}
        norms = ["attention_norm", "feed_norm"] + (["attention_post_norm", "feed_post_norm"] if is_rich else [])
        weights |= {(layer, name): normal(32, around=1.0) for name in norms}
        if is_rich:
            weights |= {(layer, name + "_bias"): normal(sizes[name][0]) for name in "qkv"}
            weights |= {(layer, name + "_norm"): normal(8, around=1.0) for name in "qk"}
    return Decoder(architecture, weights)


def split_error(decoder, tokens, context):
    """Largest difference of logits between the pass over all and the pass over a suffix with the prefix's cache."""
    with torch.no_grad():
        whole, _ = decoder.forward(tokens)
        _, cache = decoder.forward(tokens[:context])
        split, _ = decoder.forward(tokens[context:], past=cache)
    return (split - whole[context:]).abs().max().item()


def gradient_error(decoder, tokens, context, generator):
    """Largest relative error of the gradients at the cache against central differences, at 60 places of K and 60 of V."""
    with torch.no_grad():
        _, cache = decoder.forward(tokens[:context])
    target = torch.as_tensor(tokens[context:])[:, None]

    def score(pair):
        logits, _ = decoder.forward(tokens[context:], past=pair)
        return logits.log_softmax(-1).gather(1, target).sum()

    leaves = [part.clone().requires_grad_(True) for part in cache]
    gradients = torch.autograd.grad(score(leaves), leaves)
    worst = 0.0
    for kind in (0, 1):
        for place in torch.randint(0, cache[kind].numel(), (60,), generator=generator).tolist():
            values = []
            for sign in (1, -1):
                moved = [part.clone() for part in cache]
                moved[kind].view(-1)[place] += sign * STEP
                with torch.no_grad():
                    values.append(score(moved).item())
            numeric = (values[0] - values[1]) / (2 * STEP)
            size = abs(numeric) + gradients[kind].abs().mean().item()
            worst = max(worst, abs(numeric - gradients[kind].view(-1)[place].item()) / size)
    return worst


def worst_error():
    """The larger of both errors over the four models."""
    worst = 0.0
    for style in ("pairs", "halves"):
        for is_rich in (False, True):
            generator = torch.Generator().manual_seed(1)
            decoder = random_decoder(style, is_rich, generator)
            tokens = torch.randint(0, 50, (20,), generator=generator).tolist()
            worst = max(worst, split_error(decoder, tokens, 12), gradient_error(decoder, tokens, 12, generator))
    return worst
