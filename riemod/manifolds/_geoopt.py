"""geoopt, imported silently: its import uses `torch.jit.script`, which newer torch calls deprecated."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import geoopt

__all__ = ["geoopt"]
