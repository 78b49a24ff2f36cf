"""Fresh weights for a model, drawn from a given generator.

Every draw has the signature `(model, *, generator=None, skip=None, ...)`. It first draws the whole model as torch does,
biases included. Then it sets the weights that it is named for: the recurrent matrices of `nn.RNN`, `nn.GRU` and
`nn.LSTM` (each layer, direction and gate alone) and of their cells; `sparsity_aware` also sets input matrices and
`nn.Linear`. Weights that a mask (`riemod.masks`) drops are exactly 0 afterwards. Draws are made in float64, then
rounded.
"""

from riemod.initialization.draws import (
    BY_NAME,
    Initializer,
    by_name,
    default,
    identity,
    nonnormal_chain,
    orthogonal,
    sparsity_aware,
)
from riemod.initialization.fresh import reset_parameters, seeded_draws
from riemod.initialization.spectrum import spectral_radius

__all__ = [
    "BY_NAME",
    "Initializer",
    "by_name",
    "default",
    "identity",
    "nonnormal_chain",
    "orthogonal",
    "reset_parameters",
    "seeded_draws",
    "sparsity_aware",
    "spectral_radius",
]
