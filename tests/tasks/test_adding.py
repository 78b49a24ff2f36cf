"""The adding problem's data, and the level that an answer must beat."""

import pytest
import torch
from scipy import stats

from riemod.tasks import Adding, AddingConfig
from riemod.tasks.adding import AddingModel


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def task(**changes: int) -> Adding:
    values = Adding.presets["smoke"].to_dict() | changes
    return Adding(AddingConfig.from_dict(values))


@pytest.mark.parametrize("steps", [2, 3, 30])
def test_exactly_two_numbers_are_marked_and_summed(steps: int):
    batches = list(task(steps=steps, batch_size=200).batches(generator(0), 4))
    assert len(batches) == 4
    for sequence, total in batches:
        assert sequence.shape == (steps, 200, 2)
        assert total.shape == (200,)
        numbers, marks = sequence.unbind(-1)
        assert set(marks.unique().tolist()) <= {0.0, 1.0}
        assert marks.sum(0).tolist() == [2.0] * 200
        torch.testing.assert_close(total, (numbers * marks).sum(0))


def test_all_pairs_of_places_are_marked_alike():
    sequence, _ = next(task(steps=5, batch_size=20_000).batches(generator(1), 1))
    first, second = (sequence[..., 1].T == 1).nonzero()[:, 1].reshape(-1, 2).unbind(1)
    counts = torch.bincount(first * 5 + second, minlength=25)
    used = counts[counts > 0]
    assert used.numel() == 10
    assert stats.chisquare(used.numpy()).pvalue > 1e-3


def test_numbers_are_uniform_whether_marked_or_not():
    sequence, _ = next(task(steps=30, batch_size=2000).batches(generator(2), 1))
    numbers, marks = sequence.double().unbind(-1)
    assert stats.kstest(numbers[marks == 1].numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(numbers[marks == 0].numpy(), "uniform").pvalue > 1e-3


def test_always_answering_1_scores_what_the_levels_say():
    problem = task(batch_size=50_000)
    _, total = next(problem.batches(generator(3), 1))
    measured = (total.double() - 1).square().mean().sqrt().item()
    assert measured == pytest.approx(0.408, abs=0.005)
    levels = problem.reference_levels(generator(0))
    assert levels["rmse of always answering 1"] == pytest.approx(measured, abs=0.005)
    assert levels["rmse of a perfect net"] == 0


def test_the_loss_and_the_rmse_are_those_of_the_model_s_answers():
    problem = task()
    model = problem.build_model()
    batches = list(problem.batches(generator(4), 3))
    squares = torch.cat([(model(sequence) - total).square() for sequence, total in batches]).detach()
    metrics = problem.evaluate(model, generator(4), 3)
    assert problem.loss(model, batches[0]).item() == pytest.approx(squares[: len(squares) // 3].mean().item(), rel=1e-5)
    assert metrics["loss"] == pytest.approx(squares.mean().item(), rel=1e-5)
    assert metrics["rmse"] == pytest.approx(squares.mean().sqrt().item(), rel=1e-5)
    assert set(metrics) == set(problem.units)
    assert problem.primary_metric in metrics


def test_the_model_answers_from_its_last_hidden_state():
    model = AddingModel(6)
    weight = model.get_parameter
    sequence = torch.rand(9, 4, 2, generator=generator(5))
    state = torch.zeros(4, 6)
    for numbers in sequence:
        inputs = numbers @ weight("rnn.weight_ih_l0").T + weight("rnn.bias_ih_l0")
        state = torch.relu(inputs + state @ weight("rnn.weight_hh_l0").T + weight("rnn.bias_hh_l0"))
    answers = state @ weight("decoder.weight").T + weight("decoder.bias")
    torch.testing.assert_close(model(sequence), answers.squeeze(-1))


def test_the_seed_decides_the_data():
    problem = task()
    first, second, other = ([*problem.batches(generator(seed), 2)] for seed in (6, 6, 7))
    for (one, total), (same, same_total) in zip(first, second, strict=True):
        assert torch.equal(one, same)
        assert torch.equal(total, same_total)
    assert not torch.equal(first[0][0], other[0][0])
    assert not torch.equal(first[0][0], first[1][0])


@pytest.mark.parametrize(("argument", "value"), [("steps", 1), ("hidden_size", 0)])
def test_bad_numbers_are_named(argument: str, value: int):
    with pytest.raises(ValueError, match=argument):
        task(**{argument: value})


def test_the_paper_preset_has_the_paper_s_fifty_numbers():
    paper = Adding.presets["paper"]
    assert isinstance(paper, AddingConfig)
    assert paper.steps == 50
