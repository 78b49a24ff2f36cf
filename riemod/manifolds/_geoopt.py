"""Imports geoopt without the warning that its use of `torch.jit.script` raises in newer torch."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import geoopt

__all__ = ["geoopt"]
