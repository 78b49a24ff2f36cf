"""How a recurrent layer moves its state: Jacobians, Lyapunov exponents, slow points, and the ranks of matrices."""

from riemod.dynamics.jacobians import (
    JacobianSpectra,
    jacobian_spectra,
    jacobians,
    lyapunov_exponents,
    recurrent_map,
)
from riemod.dynamics.ranks import degenerate_share, effective_rank, participation_ratio
from riemod.dynamics.slow_points import SlowPoints, slow_points

__all__ = [
    "JacobianSpectra",
    "SlowPoints",
    "degenerate_share",
    "effective_rank",
    "jacobian_spectra",
    "jacobians",
    "lyapunov_exponents",
    "participation_ratio",
    "recurrent_map",
    "slow_points",
]
