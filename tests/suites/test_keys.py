"""Keys: the same for every run that would have the same record, and for no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemod.suites.keys import identity, key_of
from riemod.tasks import TASKS, RunConfig

CHANGES: dict[str, list[object]] = {
    "seed": [1, 2**40],
    "epochs": [9],
    "evaluation_batches": [3],
    "learning_rate": [0.5],
    "sparsity": [0.3],
    "steps": [5],
    "matmul": ["high"],
    "initialization": ["identity"],
}
PENALTY: dict[str, list[object]] = {
    "strength": [5.0],
    "inhibitor": ["ricker"],
    "arm": ["shuffled"],
    "power": [2.0],
    "manifold": ["circle"],
}


def key(config: RunConfig) -> str:
    return key_of(identity("adding", config))


BASE = TASKS["adding"].presets["smoke"]
TORUS = BASE.replace(manifold="torus")


@given(st.sampled_from([BASE, TORUS]), st.integers(1, 64), st.sampled_from(["cpu", "cuda"]), st.booleans())
def test_where_and_how_a_run_is_computed_does_not_matter(config: RunConfig, threads: int, device: str, events: bool):
    assert key(config.replace(threads=threads, device=device, tensorboard=events)) == key(config)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, found in CHANGES.items() for value in found])
def test_every_number_that_changes_the_record_changes_the_key(name: str, value: object):
    assert key(TORUS.replace(**{name: value})) != key(TORUS)
    assert key(BASE.replace(**{name: value})) != key(BASE)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, found in PENALTY.items() for value in found])
def test_the_numbers_of_a_penalty_matter_if_there_is_one(name: str, value: object):
    assert key(TORUS.replace(**{name: value})) != key(TORUS)
    if name in ("strength", "inhibitor", "power"):
        assert key(BASE.replace(**{name: value})) == key(BASE)


def test_the_rate_of_points_matters_if_they_are_learned():
    assert key(TORUS.replace(embedding_learning_rate=0.5)) == key(TORUS)
    learned = TORUS.replace(learn=True)
    assert key(learned.replace(embedding_learning_rate=0.5)) != key(learned)


def test_keys_of_runs_stay_as_they_are_from_version_to_version():
    """Folders of results are named by them: a change here makes every user's finished runs start again."""
    assert key(BASE) == "9c51073c3d4e1f03"
    assert key(TORUS.replace(learn=True, sparsity=0.95)) == "023f9423836cfc59"


@given(st.dictionaries(st.text(max_size=3), st.integers(-(2**53) + 1, 2**53 - 1), max_size=4))
def test_whole_numbers_and_the_order_of_names_do_not_matter(values: dict[str, int]):
    other = {name: float(values[name]) for name in reversed(values)}
    assert key_of(values) == key_of(other)
