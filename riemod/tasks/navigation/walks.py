"""Random walks of an animal in a square arena or a closed one, computed for a whole batch at once on any device."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from riemod._checks import check_at_least, check_integer, check_positive
from riemod.tasks.navigation.arenas import Arena


class Trajectories(NamedTuple):
    """Holds walks of T steps, time first; lengths in meters."""

    start: Tensor
    """(batch, k) position before the first step; k = 2, except on the sphere, whose points are unit vectors (k = 3)."""
    velocity: Tensor
    """(T, batch, dim) displacement of each step, m a step; dim = 2, except on the circle (dim = 1)."""
    position: Tensor
    """(T, batch, k) position after each step."""


def random_trajectories(
    batch: int,
    steps: int,
    *,
    side: float = 2.2,
    step_seconds: float = 0.02,
    turn_std: float = 11.52,
    speed_scale: float = 0.26 * math.pi,
    border: float = 0.03,
    border_slowdown: float = 0.25,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Trajectories:
    """Draw walks with Rayleigh speeds and Gaussian turns, which slow down and turn along a wall that they head into.

    Each walk starts uniformly in the arena with a uniform heading. In a step it moves speed * step_seconds along its
    heading, then turns by a Gaussian angle. Closer to a wall than `border` and heading towards it, it moves at
    `border_slowdown` times its speed and also turns parallel to the wall. One step runs before the first one returned,
    as in the reference, so that walks start in their stationary state.

    Args:
        batch: number of walks.
        steps: T, steps returned.
        side: of the arena, m; positions run from -side/2 to side/2.
        step_seconds: length of a step, s.
        turn_std: standard deviation of the turning rate, rad/s.
        speed_scale: scale of the Rayleigh distribution of speeds, m/s (0.817 in the reference).
        border: width of the zone along the walls, m.
        border_slowdown: factor of the speed in that zone.
        generator: of `device`; draws everything.
        device: where to walk.

    Raises:
        ValueError: if there are no walks or steps, or another number is outside its range.

    Reference: Sec. 4.1 and App. A.1 of https://arxiv.org/abs/2406.06290; Raudies and Hasselmo 2012.

    >>> walks = random_trajectories(3, 50, generator=torch.Generator().manual_seed(0))
    >>> walks.position.shape, torch.allclose(walks.start + walks.velocity.sum(0), walks.position[-1], atol=1e-5)
    (torch.Size([50, 3, 2]), True)
    """
    _check_numbers(
        batch,
        steps,
        {"side": side, "step_seconds": step_seconds, "speed_scale": speed_scale},
        {"turn_std": turn_std, "border": border, "border_slowdown": border_slowdown},
    )
    uniform = torch.rand(3 + steps + 1, batch, generator=generator, device=device)
    turns = torch.randn(steps + 1, batch, generator=generator, device=device) * (turn_std * step_seconds)
    position = (uniform[:2].T - 0.5) * side
    heading = uniform[2] * (2 * math.pi)
    lengths = _rayleigh(uniform[3:]) * (speed_scale * step_seconds)
    velocities = torch.empty(steps + 1, batch, 2, device=device)
    positions = torch.empty(steps + 1, batch, 2, device=device)
    for step in range(steps + 1):
        towards_wall, turn_along = _wall(position, heading, side, border)
        length = torch.where(towards_wall, lengths[step] * border_slowdown, lengths[step])
        velocities[step] = torch.stack((torch.cos(heading), torch.sin(heading)), dim=-1) * length.unsqueeze(-1)
        position = position + velocities[step]
        positions[step] = position
        heading = heading + turn_along + turns[step]
    return Trajectories(positions[0].clone(), velocities[1:], positions[1:])


def closed_trajectories(
    arena: Arena,
    batch: int,
    steps: int,
    *,
    step_seconds: float = 0.02,
    turn_std: float = 11.52,
    speed_scale: float = 0.26 * math.pi,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Trajectories:
    """Draw the walks of `random_trajectories` without walls, rolled onto a closed arena along geodesics.

    The animal starts uniformly in the arena, and carries an orthonormal frame with it in parallel. In a step it moves
    speed * step_seconds along its heading in that frame, by the exponential map, then turns by a Gaussian angle. On the
    circle, which has only one axis, it moves by the first component of the same walk. `velocity` holds the components
    of each step along the arena's compass at the place where the step begins (see `riemod.tasks.navigation.arenas`).

    Args:
        arena: where.
        batch: number of walks.
        steps: T, steps of each.
        step_seconds: length of a step, s.
        turn_std: standard deviation of the turning rate, rad/s.
        speed_scale: scale of the Rayleigh distribution of speeds, m/s.
        generator: of `device`; draws everything.
        device: where to walk.

    Raises:
        ValueError: if there are no walks or steps, or another number is outside its range.

    >>> from riemod.tasks.navigation.arenas import arena_by_name
    >>> walks = closed_trajectories(arena_by_name("sphere"), 3, 50, generator=torch.Generator().manual_seed(0))
    >>> walks.velocity.shape, walks.position.shape
    (torch.Size([50, 3, 2]), torch.Size([50, 3, 3]))
    """
    _check_numbers(batch, steps, {"step_seconds": step_seconds, "speed_scale": speed_scale}, {"turn_std": turn_std})
    geometry, dim = arena.manifold.geometry, arena.manifold.dim
    # In float64, so that frames stay orthonormal over any number of steps.
    point = arena.manifold.sample(batch, generator=generator, dtype=torch.float64, device=device)
    uniform = torch.rand(1 + steps, batch, generator=generator, device=device, dtype=torch.float64)
    turns = torch.randn(steps, batch, generator=generator, device=device, dtype=torch.float64)
    heading = uniform[0] * (2 * math.pi) + torch.cumsum(turns * (turn_std * step_seconds), 0)
    directions = torch.stack((torch.cos(heading), torch.sin(heading)), dim=-1)[..., :dim]
    moves = directions * (_rayleigh(uniform[1:]) * (speed_scale * step_seconds)).unsqueeze(-1)
    positions, velocities, frame = [point], [], arena.compass(point)
    for move in moves:
        tangent = torch.einsum("bd,bdk->bk", move, frame).unsqueeze(1)
        here = point.unsqueeze(1)
        velocities.append(geometry.inner(here, arena.compass(point), tangent))
        there, frame = geometry.expmap_transp(here, tangent, frame)
        point = there.squeeze(1)
        positions.append(point)
    # Rounding to float32 can round a coordinate up to the period itself.
    position = geometry.projx(torch.stack(positions).float())
    return Trajectories(position[0].clone(), torch.stack(velocities).float(), position[1:])


def _rayleigh(uniform: Tensor) -> Tensor:
    """Return draws of the Rayleigh distribution of scale 1, from uniform ones."""
    # 1 - u is in (0, 1], so the logarithm is finite.
    return torch.sqrt(-2 * torch.log1p(-uniform))


def _check_numbers(batch: int, steps: int, positive: dict[str, float], not_negative: dict[str, float]) -> None:
    check_integer("batch", batch, least=1)
    check_integer("steps", steps, least=1)
    for name, value in positive.items():
        check_positive(name, value)
    for name, value in not_negative.items():
        check_at_least(name, value, 0)


def _wall(position: Tensor, heading: Tensor, side: float, border: float) -> tuple[Tensor, Tensor]:
    """Return whether each walk is near a wall and heads into it, and the turn that makes it parallel to it (else 0)."""
    distances = side / 2 - torch.cat((position, -position), dim=-1)
    nearest, wall = distances.min(-1)
    angle = torch.remainder(heading - wall * (math.pi / 2) + math.pi, 2 * math.pi) - math.pi
    towards = (nearest < border) & (angle.abs() < math.pi / 2)
    return towards, torch.where(towards, torch.sign(angle) * (math.pi / 2) - angle, 0.0)
