"""Sluice for Python: parts that need nothing but numpy live here; `sluice.quality` also needs the environment of `./dev quality setup`."""
