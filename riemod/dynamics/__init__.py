"""How a recurrent layer moves its state: Jacobians, Lyapunov exponents, slow points, and effective ranks."""

from riemod.dynamics.jacobians import JacobianSpectra, jacobian_spectra, jacobians, lyapunov_exponents
from riemod.dynamics.ranks import effective_rank, participation_ratio
from riemod.dynamics.recurrent_map import Step, recurrent_map
from riemod.dynamics.slow_points import SlowPoints, slow_points

__all__ = [
    "JacobianSpectra",
    "SlowPoints",
    "Step",
    "effective_rank",
    "jacobian_spectra",
    "jacobians",
    "lyapunov_exponents",
    "participation_ratio",
    "recurrent_map",
    "slow_points",
]
