"""The language task: what is predicted from what, and how it is counted."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from riemod.initialization import reset_parameters
from riemod.tasks import Language, LanguageConfig
from riemod.tasks.language.corpus import unigram_entropy
from riemod.tasks.language.model import LanguageModel

CELLS = ["rnn_tanh", "rnn_relu", "gru", "lstm"]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def model_of(task: Language) -> LanguageModel:
    torch.manual_seed(0)
    return task.build_model()


def test_an_epoch_reads_the_prefix_in_streams_and_each_target_is_the_next_word(config: Callable[..., LanguageConfig]):
    task = Language(config())
    batches = list(task.batches(generator(), 12))
    assert [tuple(words.shape) for words, _, _ in batches] == [(7, 4)] * 12
    words, targets = (torch.cat([batch[part] for batch in batches]) for part in (0, 1))
    ids = torch.from_numpy(np.array(task.corpus.splits["train"], dtype=np.int64))
    rows = 12 * 7 + 1
    for stream in range(4):
        piece = ids[stream * rows : (stream + 1) * rows]
        assert torch.equal(words[:, stream], piece[:-1])
        assert torch.equal(targets[:, stream], piece[1:])


def test_the_last_window_of_a_whole_text_is_what_is_left(config: Callable[..., LanguageConfig]):
    ids = len(Language(config()).corpus.splits["train"])
    rows = ids // 4
    most = math.ceil((rows - 1) / 7)
    task = Language(config(batches_per_epoch=most))
    lengths = [len(words) for words, _, _ in task.batches(generator(), most)]
    assert sum(lengths) == rows - 1
    assert lengths[:-1] == [7] * (most - 1)
    with pytest.raises(
        ValueError, match=rf"batches_per_epoch must be at most {most} for the {ids:,} tokens .*got {most + 1}"
    ):
        Language(config(batches_per_epoch=most + 1))


@pytest.mark.parametrize("tied", [False, True])
def test_l1_of_what_is_not_recurrent_is_part_of_the_loss_and_of_no_metric(
    tied: bool, config: Callable[..., LanguageConfig]
):
    plain, penalized = (Language(config(softmax="full", layers=2, tied=tied, other_l1=l1)) for l1 in (0.0, 0.5))
    model = model_of(plain)
    batch, other = (next(task.batches(generator(), 12)) for task in (plain, penalized))
    names = ["encoder.weight", "layers.0.weight_ih_l0", "layers.1.weight_ih_l0", *([] if tied else ["decoder.weight"])]
    expected = 0.5 * sum(model.get_parameter(name).abs().mean() for name in names)
    torch.testing.assert_close(penalized.loss(model, other) - plain.loss(model, batch), expected)
    model.eval()
    assert penalized.validate(model, generator()) == plain.validate(model, generator())


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_training_s_loss_is_that_of_the_whole_text_at_once(
    cell: str, softmax: str, config: Callable[..., LanguageConfig]
):
    """Windows with a carried state give what one pass over the whole streams gives."""
    task = Language(config(cell=cell, softmax=softmax, layers=2))
    model = model_of(task)
    losses = [task.loss(model, batch) for batch in task.batches(generator(), 12)]
    output, _ = model(task.streams[:-1])
    whole = model.loss(output, task.streams[1:])
    torch.testing.assert_close(torch.stack(losses).mean(), whole)
    # And an epoch starts from zero again.
    first = task.loss(model, next(task.batches(generator(), 12)))
    assert first.item() == losses[0].item()


def test_the_gradient_stays_in_its_window(config: Callable[..., LanguageConfig]):
    task = Language(config())
    model = model_of(task)
    first, second, *_ = task.batches(generator(), 2)
    task.loss(model, first)
    assert bool(first[2].any())
    assert first[2] is second[2]
    assert not second[2].requires_grad
    start_state = second[2].clone()
    task.loss(model, second).backward()
    own = model.encoder.weight.grad
    assert own is not None
    model.zero_grad()
    output, _ = model(second[0], start_state)
    model.loss(output, second[1]).backward()
    assert model.encoder.weight.grad is not None
    torch.testing.assert_close(model.encoder.weight.grad, own)


def test_the_likeliest_word_is_the_adaptive_softmax_s_own_prediction(config: Callable[..., LanguageConfig]):
    model = model_of(Language(config(softmax="adaptive")))
    assert isinstance(model.decoder, nn.AdaptiveLogSoftmaxWithLoss)
    # Flat, one-sided and sharp scores: the word is in the front, in a group, or almost nowhere.
    for scale in (0.0, 1.0, 10.0, 100.0):
        output = scale * torch.randn(200, 16)
        _, words = model.score(output, torch.zeros(200, dtype=torch.int64))
        assert torch.equal(model.rank[words], model.decoder.predict(output))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("softmax", ["full", "adaptive"])
@pytest.mark.parametrize("streams", [1, 3, 7, 10**6])
def test_the_metrics_count_every_token_but_the_first_once(
    cell: str, softmax: str, streams: int, config: Callable[..., LanguageConfig]
):
    """Against one word after the other, each stream from a zero state."""
    task = Language(config(cell=cell, softmax=softmax, evaluation_streams=streams, evaluation_tokens=150))
    model = model_of(task).eval()
    measured = task.evaluate(model, generator(), 1)
    assert set(measured) <= set(task.units)
    for prefix, split in (("", "valid"), ("test_", "test")):
        ids = torch.from_numpy(np.array(task.corpus.splits[split][:150], dtype=np.int64))
        rows = math.ceil(149 / min(streams, 149))
        nats, right = 0.0, 0
        for begin in range(0, 149, rows):
            stream = ids[begin : begin + rows + 1]
            output, _ = model(stream[:-1].unsqueeze(1))
            logits = log_probabilities(model, output.flatten(0, 1))
            nats -= logits.gather(1, stream[1:].unsqueeze(1)).sum().item()
            right += int((logits.argmax(1) == stream[1:]).sum())
        assert measured[f"{prefix}loss"] == pytest.approx(nats / 149, rel=1e-5)
        assert measured[f"{prefix}accuracy"] == right / 149
        assert measured[f"{prefix}perplexity"] == pytest.approx(math.exp(nats / 149), rel=1e-4)
        assert measured[f"{prefix}bits_per_word"] == pytest.approx(nats / 149 / math.log(2), rel=1e-5)


def log_probabilities(model: LanguageModel, output: torch.Tensor) -> torch.Tensor:
    """(N, V), word by word in the order of the ids."""
    if isinstance(model.decoder, nn.AdaptiveLogSoftmaxWithLoss):
        return model.decoder.log_prob(output)[:, model.rank]
    return model.decoder(output).log_softmax(-1)


def test_the_adaptive_softmax_puts_the_commonest_words_in_front(config: Callable[..., LanguageConfig]):
    task = Language(config(softmax="adaptive"))
    model = model_of(task)
    counts = np.bincount(task.corpus.splits["train"], minlength=task.corpus.vocabulary_size)
    by_rank = torch.from_numpy(counts)[model.rank.argsort()]
    assert bool((by_rank[1:] <= by_rank[:-1]).all())
    probabilities = log_probabilities(model, torch.randn(3, 16)).exp()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3))


def test_the_floor_is_the_entropy_of_the_split_s_own_counts(config: Callable[..., LanguageConfig]):
    task = Language(config(evaluation_tokens=200))
    levels = task.reference_levels(generator())
    for prefix, ids in (
        ("", task.corpus.splits["valid"][:200]),
        ("test_", task.corpus.splits["test"][:200]),
        ("train_", task.streams.numpy()),
    ):
        values = ids.flatten().tolist()
        entropy = -sum(math.log(values.count(word) / len(values)) for word in values) / len(values)
        assert levels[f"{prefix}loss unigram floor"] == pytest.approx(entropy, rel=1e-6)
        assert levels[f"{prefix}perplexity unigram floor"] == pytest.approx(math.exp(entropy), rel=1e-6)
    known = np.bincount(task.corpus.splits["train"]) / len(task.corpus.splits["train"])
    expected = -np.log(known[task.corpus.splits["valid"][:200]]).mean()
    assert levels["loss of the training text's unigrams"] == pytest.approx(expected, rel=1e-6)
    assert {name.split()[0] for name in levels} <= set(task.units)


def test_a_word_that_the_training_text_lacks_leaves_its_counts_without_a_level(
    tmp_path: Path, config: Callable[..., LanguageConfig]
):
    with (tmp_path / "text" / "valid.txt").open("a") as file:
        file.write("neologism\n")
    levels = Language(config()).reference_levels(generator())
    assert "loss of the training text's unigrams" not in levels
    assert "test_loss of the training text's unigrams" in levels


@pytest.mark.parametrize(("above", "collapsed"), [(-0.03, 0.0), (-0.01, 1.0), (0.5, 1.0), (math.nan, 1.0)])
def test_a_net_that_knows_the_counts_alone_has_collapsed(
    above: float, collapsed: float, config: Callable[..., LanguageConfig], monkeypatch: pytest.MonkeyPatch
):
    task = Language(config(evaluation_tokens=100))
    floor = unigram_entropy(task.corpus.splits["valid"][:100])
    model = model_of(task).eval()

    def score(output: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full((len(output),), floor + above), targets

    monkeypatch.setattr(model, "score", score)
    measured = task.validate(model, generator())
    assert measured["collapsed"] == collapsed
    assert measured["accuracy"] == 1.0


@pytest.mark.parametrize("kind", ["ordinary", "variational"])
def test_dropout_is_new_at_every_word_or_the_same_over_the_window(kind: str, config: Callable[..., LanguageConfig]):
    task = Language(config(dropout=0.5, dropout_kind=kind))
    model = model_of(task)
    dropped = model._drop(torch.ones(50, 4, 16))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped, dropped[:1].expand_as(dropped)) is (kind == "variational")
    assert not torch.equal(dropped[:, 0], dropped[:, 1])
    model.eval()
    assert torch.equal(model._drop(torch.ones(2, 4, 16)), torch.ones(2, 4, 16))


def test_weights_start_as_in_the_example_and_again_when_drawn_anew(config: Callable[..., LanguageConfig]):
    model = model_of(Language(config(softmax="full", tied=True)))
    assert isinstance(model.decoder, nn.Linear)
    assert model.decoder.weight is model.encoder.weight
    old = model.encoder.weight.detach().clone()
    for _ in range(2):
        assert 0.09 < model.encoder.weight.abs().max().item() <= 0.1
        assert not bool(model.decoder.bias.any())
        reset_parameters(model, torch.Generator().manual_seed(1))
    assert not torch.equal(model.encoder.weight, old)
    assert model.decoder.weight is model.encoder.weight
