"""The language task: what is predicted from what, how it is counted, and runs that go on to the same bits."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

from riemod.cli import main
from riemod.initialization import reset_parameters
from riemod.tasks import Language, LanguageConfig
from riemod.tasks.corpus import unigram_entropy
from riemod.tasks.language_model import LanguageModel
from riemod.training import CheckpointError, Run, RunDescription, RunFolder, evaluate, load, lottery, start, train
from tests.tasks.texts import NAMES, wikitext2, write_text

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "embedding_size": 16,
    "epochs": 3,
    "tail_epochs": 1,
    "batches_per_epoch": 12,
    "batch_size": 4,
    "bptt": 7,
    "evaluation_tokens": None,
}
CELLS = ["rnn_tanh", "rnn_relu", "gru", "lstm"]


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., LanguageConfig]:
    """A configuration on a small text; any number of it can be changed."""
    folder = write_text(tmp_path / "text")
    smoke = Language.presets["smoke"]
    assert isinstance(smoke, LanguageConfig)

    def make(**changes: Any) -> LanguageConfig:
        return dataclasses.replace(smoke, **({"data": str(folder)} | SMALL | changes))

    return make


@pytest.fixture
def begin(config: Callable[..., LanguageConfig]) -> Callable[..., Run]:
    """Start a run on the small text."""

    def make(path: Path, **changes: Any) -> Run:
        return start(RunFolder(path), RunDescription("language", config(**changes), None))

    return make


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


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"manifold": "torus", "learn": True, "sparsity": 0.9},
        {"cell": "lstm", "layers": 2, "dropout": 0.3, "manifold": "sphere", "sparsity": 0.5},
        {"softmax": "full", "tied": True, "dropout": 0.3, "dropout_kind": "variational"},
        {"optimizer": "sgd", "learning_rate": 5.0, "learning_rate_decay": "anneal", "epochs": 5, "warmup_steps": 20},
    ],
)
def test_a_run_goes_on_to_the_same_bits(changes: dict[str, Any], tmp_path: Path, begin: Callable[..., Run]):
    whole, broken = begin(tmp_path / "whole", **changes), begin(tmp_path / "broken", **changes)
    train(whole)
    for epochs in range(whole.config.epochs):

        def stop(step: int, total: int, row: dict[str, float], epochs: int = epochs) -> None:
            if step > epochs * 12:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(broken, stop)
        broken = load(broken.folder)
        assert broken.epoch == epochs
    train(broken)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, broken.model.state_dict()[name]), name
    assert broken.folder.metrics_file.read_bytes() == whole.folder.metrics_file.read_bytes()
    assert broken.folder.read_record()["metrics"] == whole.folder.read_record()["metrics"]


def test_it_learns_more_than_how_often_words_come(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run", epochs=6, batches_per_epoch=40, learning_rate=0.02, softmax="full", strength=0.0)
    record = train(run)
    value = {name: entry["value"] for name, entry in (record["metrics"] | record["levels"]).items()}
    assert value["loss"] < value["loss unigram floor"] - 0.3
    assert (value["collapsed"], value["test_collapsed"]) == (0.0, 0.0)
    assert value["accuracy"] > 0.3
    assert record["data"]["vocabulary_size"] == 61
    assert {path.name for path in run.folder.cache.iterdir()} >= {"corpus.json", "train.npy"}
    loaded = load(run.folder)
    assert isinstance(loaded.task, Language)
    assert isinstance(loaded.task.corpus.splits["train"], np.memmap)
    assert evaluate(loaded) == {name: entry["value"] for name, entry in record["metrics"].items()}


def test_the_rate_warms_up_and_is_divided_when_the_validation_loss_rises(
    tmp_path: Path, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
):
    options = {"optimizer": "sgd", "learning_rate": 8.0, "learning_rate_decay": "anneal", "anneal_factor": 2.0}
    run = begin(tmp_path / "run", epochs=6, warmup_steps=4, **options)
    losses = [5.0, 4.0, 4.5, 4.0, 3.9, 4.2, *[0.0] * 3]
    monkeypatch.setattr(run.task, "validate", lambda *_: {"loss": losses.pop(0)})
    rates: list[float] = []
    real = run.optimizer.step

    def step() -> None:
        rates.append(run.optimizer.param_groups[0]["lr"])
        real()

    monkeypatch.setattr(run.optimizer, "step", step)
    train(run)
    assert rates[:5] == [2.0, 4.0, 6.0, 8.0, 8.0]
    # After 4.5, and after 4.0 again; the last epoch's loss comes too late.
    assert [rates[12 * epoch + 6] for epoch in range(6)] == [8.0, 8.0, 8.0, 4.0, 2.0, 2.0]


def test_a_ticket_keeps_the_mask(tmp_path: Path, begin: Callable[..., Run]):
    parent = begin(tmp_path / "run", sparsity=0.8, manifold="torus", learn=True, scope="global")
    train(parent)
    ticket = lottery(parent, RunFolder(tmp_path / "ticket"))
    record = train(ticket)
    assert record["sparsity"] == parent.folder.read_record()["sparsity"]
    for name in ("layers.0.weight_hh_l0", "decoder.head.weight"):
        assert not torch.equal(ticket.model.get_parameter(name), parent.model.get_parameter(name))


def test_a_checkpoint_of_another_text_is_refused_before_training(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train(run, stop_at_once)
    text = tmp_path / "text"
    kept = {name: (text / name).read_text() for name in NAMES}
    before = run.folder.metrics_file.read_bytes()
    (text / "valid.txt").write_text(kept["valid.txt"] + "neologism\n")
    with pytest.raises(CheckpointError, match="trained on other data: vocabulary_size was 61, it is 62 now"):
        load(run.folder)
    swapped = {"word1": "word2", "word2": "word1"}
    for name, content in kept.items():
        lines = [" ".join(swapped.get(word, word) for word in line.split()) for line in content.splitlines()]
        (text / name).write_text("\n".join(lines) + "\n")
    with pytest.raises(CheckpointError, match="trained on other data: vocabulary_sha256 was"):
        load(run.folder)
    assert run.folder.metrics_file.read_bytes() == before
    for name, content in kept.items():
        (text / name).write_text(content)
    assert load(run.folder).epoch == 1


def stop_at_once(step: int, total: int, row: dict[str, float]) -> None:
    if step > 12:
        raise KeyboardInterrupt


def test_a_text_that_was_moved_is_found_where_the_config_says(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run")
    train(run)
    (tmp_path / "text").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"train\.txt is missing"):
        load(run.folder)
    content = json.loads(run.folder.config_file.read_text())
    content["config"]["data"] = str(tmp_path / "elsewhere")
    run.folder.config_file.write_text(json.dumps(content))
    assert evaluate(load(run.folder)) == evaluate(run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bptt": 0}, "bptt must be at least 1, got 0"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"hidden_size": 0}, "hidden_size must be at least 1"),
        ({"embedding_size": 0}, "embedding_size must be at least 1"),
        ({"evaluation_streams": 0}, "evaluation_streams must be at least 1"),
        ({"evaluation_tokens": 1}, "evaluation_tokens must be at least 2, got 1"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"dropout": math.nan}, "dropout must be in"),
        ({"cell": "elman"}, "cell must be one of rnn_tanh, rnn_relu, gru, lstm, got 'elman'"),
        ({"softmax": "full", "tied": True, "embedding_size": 8}, "tied needs embedding_size equal .*, got 8 and 16"),
        ({"softmax": "adaptive", "tied": True}, "softmax='adaptive' needs untied weights .*got tied=True"),
        ({"softmax": "adaptive", "hidden_size": 15}, "hidden_size of at least 16, got .*hidden_size=15"),
        ({"data": None}, "data must be a folder with train.txt, valid.txt and test.txt, got None"),
        ({"data": "/nowhere"}, r"got /nowhere: train\.txt is missing"),
    ],
)
def test_a_bad_value_is_named_before_a_folder_is_made(
    changes: dict[str, Any], message: str, tmp_path: Path, begin: Callable[..., Run]
):
    with pytest.raises(ValueError, match=message):
        begin(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_too_small_for_three_groups_is_named(tmp_path: Path, config: Callable[..., LanguageConfig]):
    for name in NAMES:
        (tmp_path / name).write_text("a b c d e\n" * 500)
    with pytest.raises(ValueError, match="vocabulary of at least 16 words, got 6"):
        Language(config(data=str(tmp_path)))


def test_the_command_line_trains_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    jaxtyping.config.update("jaxtyping_disable", True)
    text, out = write_text(tmp_path / "text", lines=1200), tmp_path / "run"
    options = ["--preset", "smoke", "--data", str(text), "--manifold", "torus", "--sparsity", "0.9"]
    main(["train", "language", *options, "--out", str(out), "--quiet"])
    main(["show", str(out)])
    shown = capsys.readouterr().out
    for name in ("metric loss", "metric perplexity", "metric collapsed", "level loss unigram floor", "nats per token"):
        assert name in shown
    record = RunFolder(out).read_record()
    assert record["sparsity"]["total"] == pytest.approx(0.9, abs=1e-3)
    assert record["metrics"]["perplexity"]["value"] == pytest.approx(math.exp(record["metrics"]["loss"]["value"]))
    assert record["data"]["train_tokens"] == len((text / "train.txt").read_text().split()) + 1200
    with pytest.raises(SystemExit):
        main(["train", "language", "--preset", "smoke", "--out", str(tmp_path / "other")])
    assert "data must be a folder" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_the_paper_preset_is_the_reference_s_table():
    paper = Language.presets["paper"]
    expected = {
        "hidden_size": 650,
        "embedding_size": 650,
        "layers": 3,
        "cell": "rnn_tanh",
        "batch_size": 20,
        "bptt": 35,
        "epochs": 15,
        # All of the 2,088,628 tokens: 104,431 rows, of which the last predicts nothing.
        "batches_per_epoch": math.ceil((2_088_628 // 20 - 1) / 35),
        "optimizer": "sgd",
        "learning_rate": 20.0,
        "learning_rate_decay": "anneal",
        "anneal_factor": 4.0,
        "clip": 0.25,
        "strength": 0.1,
        "reduction": "mean",
        "scope": "global",
        "schedule": "linear",
        "evaluation_tokens": None,
    }
    assert {name: getattr(paper, name) for name in expected} == expected


@pytest.mark.slow
def test_the_smoke_preset_runs_on_the_real_text(tmp_path: Path):
    folder = wikitext2()
    if folder is None:
        pytest.skip("WikiText-2 is not here: set RIEMOD_WIKITEXT2 to its folder")
    smoke = dataclasses.replace(Language.presets["smoke"], data=str(folder), manifold="torus", sparsity=0.9)
    record = train(start(RunFolder(tmp_path / "run"), RunDescription("language", smoke, None)))
    assert record["data"]["vocabulary_size"] == 33_278
    # Below guessing among all words, from 4,000 tokens.
    assert record["metrics"]["loss"]["value"] < math.log(33_278) - 1.5
    paper = dataclasses.replace(Language.presets["paper"], data=str(folder))
    assert isinstance(paper, LanguageConfig)
    task = Language(paper)
    assert [len(words) for words, _, _ in task.batches(generator(), 2984)][-2:] == [35, 25]
    levels = task.reference_levels(generator())
    assert levels["loss unigram floor"] == pytest.approx(6.634, abs=1e-3)
    # Where the reference's collapsed runs end: 2^6.84 in its tables.
    assert levels["test_loss of the training text's unigrams"] == pytest.approx(6.84, abs=0.05)
