"""The configuration of a navigation run, and its presets."""

from dataclasses import dataclass
from typing import Any

from riemod._checks import check_at_least, check_integer, check_positive
from riemod.tasks.base import AboutPreset
from riemod.tasks.config import Masks, Optimization, Regularization, RunConfig, Training
from riemod.tasks.config.memory import FLOAT, Need, bytes_per_weight
from riemod.tasks.navigation.arenas import ArenaName, arena_by_name


@dataclass(frozen=True, kw_only=True)
class NavigationConfig(RunConfig):
    """Holds every number of a navigation run. Lengths in m, time in s, angles in rad."""

    hidden_size: int
    """Hidden neurons n."""
    landmarks: int
    """Landmarks whose activity encodes a position."""
    steps: int
    """Steps of a trajectory."""
    arena: ArenaName = "box"
    """Where the animal walks: in a square with walls, or on a closed manifold of the same size."""
    side: float = 2.2
    """Side of the square, of the glued square of torus and Klein bottle, length of the circle, root of the sphere's
    area, m."""
    width: float = 0.12
    """Width of a landmark's code, m."""
    landmark_seed: int = 0
    """Seed of the landmarks' places; the same for every run seed, as in the reference."""
    step_seconds: float = 0.02
    """Length of a step, s."""
    turn_std: float = 11.52
    """Standard deviation of the turning rate, rad/s."""
    speed_scale: float = 0.8168140899333463
    """Scale of the Rayleigh distribution of speeds, m/s."""
    border: float = 0.03
    """Width of the zone along the walls of the box where the animal slows down, m."""
    border_slowdown: float = 0.25
    """Factor of the speed in that zone."""
    contribution_cost: float = 0.0
    """Cost of the units' parts in the scores, nats: times the mean over states of sum_j h_j |d_j|, with d_j the unit's
    column of the decoder. Around 0.003 most units keep one field each, at some cost of accuracy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("landmark_seed", self.landmark_seed, least=-(2**63), most=2**63 - 1)
        for name in ("hidden_size", "steps"):
            check_integer(name, getattr(self, name), least=1)
        for name in ("side", "width", "step_seconds", "speed_scale"):
            check_positive(name, getattr(self, name))
        for name in ("turn_std", "border", "border_slowdown", "contribution_cost"):
            check_at_least(name, getattr(self, name), 0)
        for name in ("border", "border_slowdown") if self.arena != "box" else ():
            if getattr(self, name) != getattr(NavigationConfig, name):
                raise ValueError(f"{name} is for arena='box', got {getattr(self, name)!r} with arena={self.arena!r}")

    def memory_needs(self) -> list[Need]:
        hidden, landmarks, steps = self.hidden_size, self.landmarks, self.steps
        size, weight = self.training.batch_size, bytes_per_weight(self.optimization.optimizer)
        shape = {"steps": steps, "batch_size": size}
        # Of a batch: the velocities and positions, the code and the scores of every landmark, and the states.
        return [
            *super().memory_needs(),
            Need("the recurrent weights", {"hidden_size": hidden}, weight * hidden**2),
            Need("the other weights", {"hidden_size": hidden, "landmarks": landmarks}, 2 * weight * hidden * landmarks),
            Need("the walks of a batch", shape, 4 * FLOAT * steps * size),
            Need("the codes of a batch", {"landmarks": landmarks, **shape}, 2 * FLOAT * steps * size * landmarks),
            Need("the states of a batch", {"hidden_size": hidden, **shape}, FLOAT * steps * size * hidden),
        ]


_CPU = NavigationConfig(
    preset="cpu",
    hidden_size=256,
    landmarks=256,
    width=0.17,
    steps=20,
    training=Training(
        epochs=40, batches_per_epoch=200, batch_size=100, dense_epochs=10, tail_epochs=14, evaluation_batches=20
    ),
    optimization=Optimization(learning_rate=2e-3, learning_rate_decay="tail"),
    regularization=Regularization(strength=2e-3),
    masks=Masks(scope="tensor"),
)
# With wide place codes arenas are learned in a third of the steps, and hidden states fill a gently folded sheet.
_WIDE: dict[str, Any] = {"width": 0.4, "epochs": 12, "dense_epochs": 2, "tail_epochs": 8}


def _map(arena: ArenaName, **changes: Any) -> NavigationConfig:
    """Configure a net whose units form a map of a closed arena on points that are learned with it (docs/learned.md).

    The place code is 0.45 of the arena's diameter wide. Weights pay by the signed law, which costs 1 on average, and
    points follow co-activity.
    """
    plan: dict[str, Any] = {
        "preset": f"map-{arena}",
        "arena": arena,
        "landmarks": 64,
        "width": round(0.45 * arena_by_name(arena).manifold.diameter, 3),
        "steps": 10,
        "batch_size": 48,
        "epochs": 16,
        "batches_per_epoch": 100,
        "dense_epochs": 0,
        "tail_epochs": 8,
        "learning_rate": 4e-3,
        "embedding_learning_rate": 0.1,
        "manifold": arena,
        "law": "signed",
        "strength": 3.0,
        "learn": True,
        "evidence": "coactivity",
    }
    return _CPU.replace(**plan | changes)


PRESETS: dict[str, RunConfig] = {
    # width^2 * landmarks is that of the paper: with fewer landmarks within a width, the third most active one may be
    # anywhere.
    "smoke": NavigationConfig(
        preset="smoke",
        hidden_size=64,
        landmarks=64,
        width=0.34,
        steps=10,
        training=Training(
            epochs=6, batches_per_epoch=20, batch_size=50, dense_epochs=1, tail_epochs=2, evaluation_batches=2
        ),
        optimization=Optimization(learning_rate=2e-3),
        regularization=Regularization(strength=2e-3),
        masks=Masks(scope="tensor"),
    ),
    "cpu": _CPU,
    "paper": NavigationConfig(
        preset="paper",
        hidden_size=4096,
        landmarks=512,
        steps=50,
        training=Training(epochs=30, batches_per_epoch=1000, batch_size=200),
        optimization=Optimization(learning_rate=1e-4, weight_decay=0.01),
        regularization=Regularization(strength=0.1),
    ),
    "cpu-small": _CPU.replace(
        preset="cpu-small",
        hidden_size=128,
        landmarks=128,
        width=0.4,
        steps=15,
        epochs=20,
        batches_per_epoch=150,
        dense_epochs=4,
        tail_epochs=8,
    ),
    "cpu-box": _CPU.replace(preset="cpu-box", **_WIDE),
    "cpu-circle": _CPU.replace(
        preset="cpu-circle", arena="circle", hidden_size=64, landmarks=64, learning_rate=3e-3, **_WIDE
    ),
    "cpu-torus": _CPU.replace(preset="cpu-torus", arena="torus", **_WIDE),
    "cpu-sphere": _CPU.replace(preset="cpu-sphere", arena="sphere", **_WIDE),
    "cpu-klein": _CPU.replace(preset="cpu-klein", arena="klein", **_WIDE),
    "map-circle": _map("circle", hidden_size=120),
    "map-torus": _map("torus", contribution_cost=3e-3),
    "map-sphere": _map("sphere"),
}

_ARENA = "an arena that is a {}, with a wide place code"
_MAP = "units form a map of a {}, on learned points"
ABOUT: dict[str, AboutPreset] = {
    "smoke": AboutPreset("shows that all works; too short to learn", 0.01),
    "cpu": AboutPreset("a box, the paper's task in a size for a CPU", 6),
    "paper": AboutPreset("a box, as in the paper; needs a GPU", 9000),
    "cpu-small": AboutPreset("a box, with a wide place code, in a small net", 0.5),
    "cpu-box": AboutPreset("a box, with a wide place code", 2),
    "cpu-circle": AboutPreset(_ARENA.format("circle"), 0.4),
    "cpu-torus": AboutPreset(_ARENA.format("torus"), 2),
    "cpu-sphere": AboutPreset(_ARENA.format("sphere"), 2),
    "cpu-klein": AboutPreset(_ARENA.format("Klein bottle"), 2),
    "map-circle": AboutPreset(_MAP.format("circle"), 0.2),
    "map-torus": AboutPreset(_MAP.format("torus"), 0.3),
    "map-sphere": AboutPreset(_MAP.format("sphere"), 0.3),
}
