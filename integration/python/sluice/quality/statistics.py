"""Figures of one scheme over all judged tokens, their bootstrap intervals, and the bits at which a curve reaches a peer's damage.

The bootstrap draws texts with replacement, then tokens within each: texts differ more than tokens do. All schemes of a run see the same
draws, so that ratios between them are paired.
"""

from dataclasses import dataclass

import numpy as np

DRAWS = 400
LEAST_KL = 1e-9  # below it two log-softmaxes differ by rounding alone


@dataclass(frozen=True)
class Samples:
    """One scheme: bits per value by text, and per-token arrays by text."""

    name: str
    family: str
    bits: np.ndarray
    scores: list

    def joined(self, field):
        return np.concatenate([getattr(score, field) for score in self.scores])


class Draws:
    """The same resampling of texts and tokens for every scheme. sizes: judged tokens of each text."""

    def __init__(self, sizes, seed=1):
        rng = np.random.default_rng(seed)
        self.texts = [rng.integers(0, len(sizes), len(sizes)) for _ in range(DRAWS)]
        self.tokens = [[rng.integers(0, sizes[text], sizes[text]) for text in chosen] for chosen in self.texts]

    def over(self, by_text, statistic):
        """statistic of the joined tokens, in each draw."""
        return np.array([statistic(np.concatenate([by_text[text][index] for text, index in zip(chosen, tokens)]))
                         for chosen, tokens in zip(self.texts, self.tokens)])

    def over_texts(self, by_text):
        return np.array([np.mean(by_text[chosen]) for chosen in self.texts])


def p99(kl):
    return np.quantile(kl, 0.99)


def interval(values):
    """The middle 95 % as [low, high]."""
    return [float(x) for x in np.quantile(values, (0.025, 0.975))]


def summarise(samples, draws):
    """One row of the table, as JSON holds it."""
    kl = samples.joined("kl")
    by_text = [score.kl for score in samples.scores]
    change = [score.nll_change[~np.isnan(score.nll_change)] for score in samples.scores]
    changes = np.concatenate(change)
    change_draws = draws.over([np.nan_to_num(score.nll_change) for score in samples.scores], np.mean)
    return {
        "scheme": samples.name, "family": samples.family, "bits_per_value": float(samples.bits.mean()),
        "bits_per_value_by_text": [float(x) for x in samples.bits], "kl_mean": float(kl.mean()), "kl_median": float(np.median(kl)),
        "kl_p99": float(p99(kl)), "kl_p999": float(np.quantile(kl, 0.999)), "kl_max": float(kl.max()),
        "kl_mean_interval": interval(draws.over(by_text, np.mean)), "kl_p99_interval": interval(draws.over(by_text, p99)),
        "kl_mean_by_text": [float(x.mean()) for x in by_text], "top1": float(samples.joined("same").mean()),
        "perplexity_change_percent": 100 * float(np.expm1(changes.mean())),
        "perplexity_change_percent_interval": [100 * float(np.expm1(x)) for x in interval(change_draws)],
        "right_share": float(np.nanmean(samples.joined("right"))), "tokens": len(kl),
    }


def bits_at(bits, damage, wanted):
    """Bits where a curve's damage comes down to `wanted`: linear in log damage between its points, sorted by bits.

    Returns (bits, exactness): "at" inside the curve, "below" when even its cheapest point does less damage (the true answer is smaller
    than what is returned), "never" with NaN when no point gets there.
    """
    order = np.argsort(bits)
    bits = np.asarray(bits)[order]
    log = np.log(np.maximum(np.minimum.accumulate(np.asarray(damage)[order]), LEAST_KL))
    goal = np.log(max(wanted, LEAST_KL))
    if log[0] <= goal:
        return float(bits[0]), "below"
    if log[-1] > goal:
        return float("nan"), "never"
    right = int(np.argmax(log <= goal))
    share = (log[right - 1] - goal) / (log[right - 1] - log[right])
    return float(bits[right - 1] + share * (bits[right] - bits[right - 1])), "at"


def bits_at_peer(curve, peer):
    """Bits at the peer's mean KL *and* p99. curve: list of (bits, mean, p99); peer: (mean, p99)."""
    bits = [point[0] for point in curve]
    answers = [bits_at(bits, [point[1 + which] for point in curve], peer[which]) for which in (0, 1)]
    if any(exactness == "never" for _, exactness in answers):
        return float("nan"), "never"
    return max(answers)


def share_of_peer(curve, peer, draws):
    """The curve's bits at the peer's damage as a share of the peer's bits, in percent, with a paired bootstrap interval."""
    def point(samples):
        return samples.bits.mean(), samples.joined("kl").mean(), p99(samples.joined("kl"))

    peer_point = point(peer)
    bits, exactness = bits_at_peer([point(samples) for samples in curve], peer_point[1:])

    def drawn(samples):
        by_text = [score.kl for score in samples.scores]
        return np.stack([draws.over_texts(samples.bits), draws.over(by_text, np.mean), draws.over(by_text, p99)], 1)

    curves, peers = [drawn(samples) for samples in curve], drawn(peer)
    shares = [100 * bits_at_peer([points[index] for points in curves], peers[index, 1:])[0] / peers[index, 0] for index in range(DRAWS)]
    reached = np.isfinite(shares)
    return {
        "peer": peer.name, "peer_bits": float(peer_point[0]), "bits": bits, "percent": 100 * bits / float(peer_point[0]),
        "exactness": exactness, "interval": interval(np.asarray(shares)[reached]) if reached.any() else [float("nan")] * 2,
        "reached_in_draws": float(reached.mean()),
    }
