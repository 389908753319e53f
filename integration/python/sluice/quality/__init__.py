"""What a codec does to a model's answers: dumps of real KV caches, peers re-implemented, and KL against the untouched cache.

Place in the flow: `sluice codec compare` and `./dev quality` start `python3 -m sluice.quality`; a calibrator takes dumps and the
function `Judge.kl_per_token` from here. Needs numpy, PyTorch and the wheels that `./dev quality setup` unpacks; no GPU.
"""
