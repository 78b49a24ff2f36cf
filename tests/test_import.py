"""Importing riemod is silent and leaves the process as it found it; its public names are there and documented."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

import riemod

PROBE = """
import json, os, random, sys, warnings
import numpy, torch
def snapshot():
    return {
        "dtype": str(torch.get_default_dtype()),
        "torch": torch.get_rng_state().tolist(),
        "numpy": [str(part) for part in numpy.random.get_state()],
        "random": str(random.getstate()),
        "environment": dict(os.environ),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "trapz": "trapz" in vars(numpy),
        "filters": [str(rule) for rule in warnings.filters],
        "folder": os.getcwd(),
    }
before = snapshot()
import riemod
after = snapshot()
changed = [name for name in before if before[name] != after[name]]
heavy = ["matplotlib", "geomstats", "sklearn", "gudhi", "ripser", "pandas", "rich", "tyro"]
print(json.dumps({"changed": changed, "heavy": [name for name in heavy if name in sys.modules]}))
"""

PUBLIC = {
    "riemod": [
        "MagnitudePruner",
        "LinearSchedule",
        "ModuliRegularizer",
        "inhibitors",
        "lottery_ticket",
        "manifolds",
        "moduli_penalty",
        "optim",
        "initialization",
        "recurrent",
        "chain",
        "Modules",
    ],
    "riemod.optim": ["riemannian_adam"],
    "riemod.manifolds": ["Manifold", "Euclidean", "Sphere", "Torus", "KleinBottle", "PoincareBall", "Product"],
    "riemod.regularization.inhibitors": [
        "Inhibitor",
        "DifferenceOfGaussians",
        "Diffusion",
        "Sinusoid",
        "Ricker",
        "Gaussian",
        "IndRNN",
    ],
    "riemod.topology": ["ModuliRecovery", "CircularCoordinates", "persistence", "nulls"],
    "riemod.recordings": ["load", "prepare", "from_spikes", "from_samples", "from_pynapple", "simulate"],
    "riemod.tuning": ["rate_maps", "preferred_positions", "grid_scores", "shuffle_test"],
    "riemod.alignment": ["graph_distances", "distance_correlation", "mantel_test", "manifold_procrustes"],
    "riemod.dynamics": ["recurrent_map", "jacobians", "lyapunov_exponents", "slow_points"],
    "riemod.coactivity": ["RunningCorrelations", "fit_positions", "least_squares"],
    "riemod.evidence": ["Coactivity", "EvidenceLaw", "PointEvidence", "incoming_cosine", "signed_weights"],
    "riemod.masks": ["apply_masks", "attach_masks"],
    "riemod.regularization": ["ModuliRegularizer", "NeuronEmbedding", "moduli_penalty"],
}
DOCUMENTED = [
    "riemod",
    *PUBLIC,
    "riemod.inspection",
    "riemod.report",
    "riemod.plotting",
    "riemod.pruning",
    "riemod.tasks",
    "riemod.suites",
    "riemod.training",
    "riemod.initialization",
    "riemod.sparse",
]


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)


def test_import_is_silent() -> None:
    finished = python("import riemod", "-W", "error")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_import_changes_nothing_and_stays_light() -> None:
    finished = python(PROBE)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == {"changed": [], "heavy": []}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in PUBLIC for name in PUBLIC[module]])
def test_public_name_exists(module: str, name: str) -> None:
    assert name in dir(importlib.import_module(module))


def test_all_names_what_there_is() -> None:
    assert set(PUBLIC["riemod"]) <= set(riemod.__all__) <= set(dir(riemod))
    assert not [name for name in riemod.__all__ if re.match("_[^_]", name)]


def test_topology_comes_when_asked_for() -> None:
    code = "import sys, riemod; before = 'sklearn' in sys.modules; riemod.topology.ModuliRecovery(); print(before)"
    finished = python(code, "-W", "error")
    assert (finished.returncode, finished.stdout) == (0, "False\n"), finished.stderr
    with pytest.raises(AttributeError, match="no attribute 'topologie'"):
        _ = riemod.topologie


def test_every_room_comes_when_asked_for() -> None:
    rooms = [name for name in riemod.__all__ if name in riemod._LAZY]
    code = f"import riemod; print([getattr(riemod, room).__name__ for room in {rooms}])"
    finished = python(code, "-W", "error")
    assert finished.stdout == f"{[f'riemod.{room}' for room in rooms]}\n", finished.stderr
    assert {"plotting", "training", "tasks", "integrations", "inspection", "topology"} <= set(rooms)


def test_topology_without_its_libraries_says_how_to_get_them() -> None:
    hide = "import sys; sys.modules['ripser'] = None; sys.modules['gudhi'] = None"
    code = f"{hide}\nimport riemod\ntry: riemod.topology\nexcept ImportError as error: print(error)"
    expected = "riemod.topology needs gudhi, ripser: pip install 'riemod[topology]' brings it\n"
    assert python(code).stdout == expected


def test_inhibitors_have_one_home() -> None:
    assert riemod.inhibitors is importlib.import_module("riemod.regularization.inhibitors")


def test_version_is_the_distribution_s() -> None:
    assert riemod.__version__ == version("riemod")


@pytest.mark.parametrize("module_name", sorted(set(DOCUMENTED)))
def test_public_names_are_documented(module_name: str) -> None:
    module = importlib.import_module(module_name)
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    bare = []
    for name in names:
        member = getattr(module, name)
        if not (inspect.isclass(member) or inspect.isfunction(member)) or not member.__module__.startswith("riemod"):
            continue
        if not inspect.getdoc(member):
            bare.append(name)
        if inspect.isclass(member):
            bare += [f"{name}.{attribute}" for attribute in vars(member) if undocumented(member, attribute)]
    assert not bare, f"no docstring, neither own nor inherited: {bare}"


def undocumented(owner: type, attribute: str) -> bool:
    member = inspect.getattr_static(owner, attribute)
    member = member.__func__ if isinstance(member, classmethod | staticmethod) else member
    method = inspect.isfunction(member) or isinstance(member, property)
    return method and not attribute.startswith("_") and not inspect.getdoc(getattr(owner, attribute))
