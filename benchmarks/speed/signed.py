"""What a signed law costs: two inhibitors, one for each sign of the weights, against one for all of them.

Both sides are riemod's, with the same weight and points; the baseline is the default difference of Gaussians.
"""

from collections.abc import Callable

from torch import Tensor, nn

from benchmarks.speed.harness import Result, compare
from benchmarks.speed.penalty import LAW, operands
from riemod.manifolds import Torus
from riemod.regularization import ModuliRegularizer, moduli_penalty, recurrent
from riemod.regularization.inhibitors import CostLaw, DifferenceOfGaussians, Signed

HAT = Signed.mexican_hat(Torus(2))
PAIR = Signed(LAW, DifferenceOfGaussians(amplitude=50.0, narrow=0.5, wide=10.0))
TARGET = 1.2


def learned(weight: Tensor, points: Tensor, law: CostLaw) -> Callable[[], None]:
    """Value and the gradients of weight and points."""

    def run() -> None:
        weight.grad = points.grad = None
        moduli_penalty(weight, points, Torus(2), law).backward()

    return run


def regularizer(weight: Tensor, points: Tensor, law: CostLaw) -> ModuliRegularizer:
    """A regularizer of fixed points, on a parameter of its own that shares the weight's memory."""
    layer = nn.Module()
    layer.weight = nn.Parameter(weight.detach())
    return ModuliRegularizer(recurrent(layer, "weight"), Torus(2), inhibitor=law, points=points.detach(), strength=1.0)


def fixed(weight: Tensor, points: Tensor, law: CostLaw) -> Callable[[], None]:
    """Value and the gradient of the weight, with costs that are kept from call to call."""
    moduli = regularizer(weight, points, law)
    own = moduli.weights[0].tensor

    def run() -> None:
        own.grad = None
        moduli().backward()

    return run


def against_unsigned(name: str, side: Callable[..., Callable[[], None]], law: CostLaw, n: int, rounds: int) -> Result:
    """A signed law against the unsigned default, on a torus."""
    weight, points = operands(Torus(2), n)
    against = f"Eq. 6 with {type(LAW).__name__}, n = {n}"
    return compare(name, side(weight, points, law), side(weight, points, LAW), TARGET, against, rounds)


SIDES = {"learned": learned, "fixed": fixed}
CASES = [("", HAT, n) for n in (512, 4096)] + [("-pair", PAIR, 4096)]

ROWS: dict[str, Callable[[int], Result]] = {
    f"penalty-signed{kind}-{side}-{n}": (
        lambda rounds, kind=kind, side=side, law=law, n=n: against_unsigned(
            f"penalty-signed{kind}-{side}-{n}", SIDES[side], law, n, rounds
        )
    )
    for kind, law, n in CASES
    for side in SIDES
}
