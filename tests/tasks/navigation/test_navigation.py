"""The navigation task: its batches, its loss, its metrics, and the levels to read them against."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from riemod.tasks import Navigation, NavigationConfig
from riemod.tasks.navigation import NavigationModel


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def task(preset: str = "smoke", **changes: Any) -> Navigation:
    config = Navigation.presets[preset]
    assert isinstance(config, NavigationConfig)
    return Navigation(config.replace(**changes))


class Answer(nn.Module):
    """Gives the scores it was made with, whatever the input."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, start_code: Tensor, velocity: Tensor) -> Tensor:
        assert velocity.shape[:2] == self.scores.shape[:2]
        assert start_code.shape[0] == velocity.shape[1]
        return self.scores


@pytest.fixture(scope="module")
def paper() -> Navigation:
    """The paper's arena, landmarks and steps, with a small net that nobody trains."""
    return task("paper", hidden_size=8)


def test_a_batch_is_one_walk_seen_four_ways():
    problem = task(steps=7, batch_size=11)
    batches = list(problem.batches(generator(0), 5))
    assert len(batches) == 5
    for start_code, velocity, code, position in batches:
        assert (start_code.shape, velocity.shape) == ((11, 64), (7, 11, 2))
        assert (code.shape, position.shape) == ((7, 11, 64), (7, 11, 2))
        torch.testing.assert_close(code, problem.cells.code(position))
        start = position[0] - velocity[0]
        torch.testing.assert_close(start_code, problem.cells.code(start), atol=1e-5, rtol=1e-3)
        torch.testing.assert_close(position - velocity.cumsum(0), start.expand_as(position), atol=1e-5, rtol=0)


def test_no_two_batches_are_alike_even_when_walks_are_drawn_in_several_chunks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("riemod.tasks.navigation.task._WALKS_AT_ONCE", 25)
    starts = torch.cat([start for start, *_ in task(batch_size=10).batches(generator(0), 7)])
    assert starts.shape[0] == 70
    assert starts.unique(dim=0).shape[0] == 70


def test_the_seed_decides_the_data_and_the_landmark_seed_the_arena():
    first, second, other = (next(task().batches(generator(seed), 1)) for seed in (1, 1, 2))
    assert all(torch.equal(one, same) for one, same in zip(first, second, strict=True))
    assert not torch.equal(first[1], other[1])
    assert torch.equal(task(seed=0).cells.centers, task(seed=5).cells.centers)
    assert not torch.equal(task(landmark_seed=0).cells.centers, task(landmark_seed=1).cells.centers)


def test_the_perfect_net_s_loss_is_the_entropy_and_below_any_other(paper: Navigation):
    batch = next(paper.batches(generator(3), 1))
    start_code, _, code, position = batch
    entropy = -torch.special.xlogy(code, code).sum(-1).mean().item()
    perfect = paper.loss(Answer((code + 1e-9).log()), batch).item()
    assert perfect == pytest.approx(entropy, abs=1e-5)
    others = {
        "uniform": torch.zeros_like(code),
        "holding the start": (start_code + 1e-6).log().expand_as(code).contiguous(),
        "one centimeter off": (paper.cells.code(position + 0.01) + 1e-6).log(),
        "too sure": 1.1 * (code + 1e-6).log(),
        "disturbed": (code + 1e-6).log() + 0.01 * torch.randn(code.shape, generator=generator(4)),
    }
    losses = {name: paper.loss(Answer(scores), batch).item() for name, scores in others.items()}
    assert all(loss > perfect for loss in losses.values()), losses
    levels = paper.reference_levels(generator(3))
    assert levels["loss of a perfect net"] == pytest.approx(perfect, abs=1e-3)


def test_the_levels_are_those_that_the_reference_measured(paper: Navigation):
    levels = paper.reference_levels(generator(5))
    # For the one set of landmarks of landmark_seed 0: 4.1 cm; 4.4 is the mean over sets.
    assert levels["error_top3 of a perfect net"] == pytest.approx(4.4, abs=0.5)
    assert levels["error_maximum_likelihood of a perfect net"] < 1
    assert levels["error_top3 of holding the start"] == pytest.approx(41, abs=4)
    assert levels["error_top3 of the arena's center"] == pytest.approx(87, abs=4)
    assert {name.split()[0] for name in levels} <= set(paper.units)


def test_metrics_are_means_over_all_steps_in_centimeters():
    problem = task(evaluation_batches=2)

    class Still(nn.Module):
        """Knows the start and never moves."""

        def forward(self, start_code: Tensor, velocity: Tensor) -> Tensor:
            return (start_code + 1e-6).log().expand(velocity.shape[0], -1, -1)

    metrics = problem.evaluate(Still(), generator(6), 2)
    errors, losses = [], []
    for start_code, _, code, position in problem.batches(generator(6), 2):
        scores = (start_code + 1e-6).log().expand_as(code)
        errors.append((problem.cells.decode_top(scores) - position).norm(dim=-1))
        losses.append(-(code * scores.log_softmax(-1)).sum(-1))
    error = torch.stack(errors)
    assert metrics["error_top3"] == pytest.approx(100 * error.mean().item(), rel=1e-4)
    assert metrics["beyond_10_cm"] == pytest.approx((error >= 0.1).float().mean().item(), abs=1e-6)
    assert metrics["beyond_50_cm"] == pytest.approx((error >= 0.5).float().mean().item(), abs=1e-6)
    assert metrics["loss"] == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)
    assert set(metrics) == set(problem.units)
    assert problem.primary_metric in metrics


def test_the_model_is_three_linear_maps_around_a_relu_recurrence():
    model = NavigationModel(landmarks=5, hidden_size=6)
    assert sorted(dict(model.named_parameters())) == [
        "decoder.weight",
        "encoder.weight",
        "rnn.weight_hh_l0",
        "rnn.weight_ih_l0",
    ]
    code, velocity = torch.rand(4, 5, generator=generator(7)), torch.randn(3, 4, 2, generator=generator(8))
    weight = model.get_parameter
    state, expected = code @ weight("encoder.weight").T, []
    for step in velocity:
        state = torch.relu(step @ weight("rnn.weight_ih_l0").T + state @ weight("rnn.weight_hh_l0").T)
        expected.append(state @ weight("decoder.weight").T)
    torch.testing.assert_close(model(code, velocity), torch.stack(expected))


def test_a_contribution_cost_adds_the_mean_part_of_the_units() -> None:
    preset = Navigation.presets["smoke"]
    assert isinstance(preset, NavigationConfig)
    plain, priced = (Navigation(preset.replace(contribution_cost=cost)) for cost in (0.0, 0.5))
    torch.manual_seed(0)
    model = plain.build_model()
    batch = next(iter(plain.batches(torch.Generator().manual_seed(0), 1)))
    states = model.hidden_states(*batch[:2])
    parts = (states * model.decoder.weight.norm(dim=0)).sum(-1).mean()
    torch.testing.assert_close(priced.loss(model, batch), plain.loss(model, batch) + 0.5 * parts)
    with pytest.raises(ValueError, match=r"contribution_cost must be finite and >= 0, got -1\.0"):
        preset.replace(contribution_cost=-1.0)
