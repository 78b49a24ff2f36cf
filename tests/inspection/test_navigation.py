"""What is said of states of navigation, on states whose tuning is known."""

import math

import pytest
import torch
from torch import nn

from riemod.inspection.navigation import NavigationArena, alignment, arena_of, decoding, tuning
from riemod.inspection.states import Sample
from riemod.tasks.adding import Adding, AddingConfig
from riemod.tasks.navigation import Navigation, NavigationModel
from riemod.tasks.navigation.arenas import ArenaName
from riemod.training import Run, RunDescription, RunFolder, build

UNITS, STEPS, WALKS = 24, 20, 60


@pytest.fixture
def run(tmp_path) -> Run:
    """A run on a circle with points on a circle, at its first weights."""
    preset = Navigation.presets["smoke"]
    changes = {"arena": "circle", "hidden_size": UNITS, "manifold": "circle", "steps": STEPS}
    return build(RunFolder(tmp_path), RunDescription("navigation", preset.replace(**changes), None))


def arena(run: Run) -> NavigationArena:
    found = arena_of(run.task)
    assert found is not None
    return found


def tuned(run: Run, noise: float = 0.0) -> Sample:
    """States of units that each like one direction of the circle, the first two silent and the next two always on."""
    assert isinstance(run.task, Navigation)
    walks = run.task.walks(WALKS, torch.Generator().manual_seed(0))
    positions = walks.position.transpose(0, 1).flatten(0, 1)
    angle = torch.atan2(positions[:, 1:], positions[:, :1])
    likes = torch.arange(UNITS) * (2 * math.pi / UNITS)
    states = (3 * torch.cos(angle - likes)).exp()
    states = states + noise * torch.rand(states.shape, generator=torch.Generator().manual_seed(1))
    states[:, :2], states[:, 2:4] = 0.0, 1.0
    return Sample(states, positions)


def test_positions_are_told_from_states_as_well_as_the_states_allow(run: Run) -> None:
    sample = tuned(run)
    errors = decoding(run, sample, arena(run))
    assert errors["nearest_state"] == pytest.approx(errors["nearest_position"], rel=0.05)
    # A quarter of the circle's length is the mean distance of two places.
    assert errors["chance"] == pytest.approx(100 * 2.2 / 4, rel=0.1)
    still = sample._replace(states=torch.rand(sample.states.shape, generator=torch.Generator().manual_seed(2)))
    assert decoding(run, still, arena(run))["nearest_state"] > 0.7 * errors["chance"]


def test_the_readout_s_error_is_the_task_s(run: Run) -> None:
    assert isinstance(run.task, Navigation)
    assert isinstance(run.model, NavigationModel)
    states, positions = run.task.states(run.model, torch.Generator().manual_seed(3), 50)
    expected = run.task.evaluate(run.model, torch.Generator().manual_seed(3), 1)["error_top3"]
    error = decoding(run, Sample(states, positions), arena(run))["readout"]
    assert error == pytest.approx(expected, rel=1e-5)


def test_tuned_units_are_informative_and_others_are_not(run: Run) -> None:
    found = tuning(tuned(run), arena(run), torch.Generator().manual_seed(0))
    assert found.silent == 2
    assert (found.p_values[:4] > 0.5).all()
    assert (found.p_values[4:] <= 0.01).all()
    assert found.to_dict()["informative"] == pytest.approx(20 / 24)
    assert found.varying.tolist() == [False] * 4 + [True] * 20
    assert not found.places[:4].isfinite().any()
    likes = torch.arange(4, UNITS) * (2 * math.pi / UNITS)
    apart = arena(run).manifold.geometry.dist(found.places[4:], torch.stack((likes.cos(), likes.sin()), 1).double())
    assert apart.max() < arena(run).width / 2


def test_units_of_noise_are_rarely_informative(run: Run) -> None:
    sample = tuned(run)
    noise = torch.rand(len(sample.states), 200, generator=torch.Generator().manual_seed(4))
    found = tuning(sample._replace(states=noise), arena(run), torch.Generator().manual_seed(0))
    assert found.to_dict()["informative"] < 0.05


def test_geometries_that_agree_are_found_to_agree(run: Run) -> None:
    assert run.moduli is not None
    assert isinstance(run.model, NavigationModel)
    found = tuning(tuned(run), arena(run), torch.Generator().manual_seed(0))
    likes = torch.arange(UNITS) * (2 * math.pi / UNITS)
    embedding = run.moduli.layer_embeddings(0)[0]
    with torch.no_grad():
        embedding.points.copy_(torch.stack((likes.cos(), likes.sin()), 1))
        run.model.rnn.weight_hh_l0.copy_(torch.cos(likes - likes[:, None]).sub(0.9).clamp(min=0))
    compared = alignment(run, found, torch.Generator().manual_seed(0))
    assert compared["units"] == 20
    assert compared["problem"] is None
    pairs = {(pair["first"], pair["second"]): pair for pair in compared["pairs"]}
    assert set(pairs) == {("tuning", "weights"), ("tuning", "points"), ("weights", "points")}
    assert all(pair["p_value"] == 0.001 and pair["distance_correlation"] > 0.8 for pair in pairs.values())


def test_weights_in_pieces_are_compared_over_the_largest(run: Run) -> None:
    assert isinstance(run.model, NavigationModel)
    found = tuning(tuned(run), arena(run), torch.Generator().manual_seed(0))
    with torch.no_grad():
        run.model.rnn.weight_hh_l0[:, :10] = 0
        run.model.rnn.weight_hh_l0[:10] = 0
    assert alignment(run, found, torch.Generator().manual_seed(0))["units"] == UNITS - 10
    with torch.no_grad():
        nn.init.zeros_(run.model.rnn.weight_hh_l0)
    compared = alignment(run, found, torch.Generator().manual_seed(0))
    assert compared["pairs"] == []
    assert compared["problem"] is not None


@pytest.mark.parametrize("name", ["box", "circle", "torus", "sphere", "klein"])
def test_bins_cover_every_arena(name: ArenaName) -> None:
    task = Navigation(Navigation.presets["smoke"].replace(arena=name))
    found = arena_of(task)
    assert found is not None
    places = task.walks(200, torch.Generator().manual_seed(0)).position.flatten(0, 1).double()
    nearest = found.manifold.distance(places, found.bins.centers).amin(1)
    spacing = task.config.side / (60 if name == "circle" else 15)
    assert nearest.max() < 0.9 * spacing
    betti = {"contractible": (1, 0, 0), "circle": (1, 1), "torus": (1, 2, 1), "sphere": (1, 0, 1)}
    assert found.manifold.betti(3)[:3] == betti.get(found.truth, (1, 1, 0))


def test_other_tasks_have_no_arena() -> None:
    smoke = Adding.presets["smoke"]
    assert isinstance(smoke, AddingConfig)
    assert arena_of(Adding(smoke)) is None
