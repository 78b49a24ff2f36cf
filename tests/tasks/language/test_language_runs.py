"""Language runs: they learn, go on to the same bits, and refuse other texts and bad values."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from riemod.cli.commands import main
from riemod.tasks import Language, LanguageConfig
from riemod.training import CheckpointError, Run, RunDescription, RunFolder, evaluate, load, lottery, start, train
from tests.tasks.texts import NAMES, wikitext2, write_text

CELLS = ["rnn_tanh", "rnn_relu", "gru", "lstm"]


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
    for epochs in range(whole.config.training.epochs):

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
        ({"bptt": 0}, "bptt must be an integer >= 1, got 0"),
        ({"layers": 0}, "layers must be an integer >= 1, got 0"),
        ({"hidden_size": 0}, "hidden_size must be an integer >= 1, got 0"),
        ({"embedding_size": 0}, "embedding_size must be an integer >= 1, got 0"),
        ({"evaluation_streams": 0}, "evaluation_streams must be an integer >= 1, got 0"),
        ({"evaluation_tokens": 1}, "evaluation_tokens must be an integer >= 2, got 1"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"dropout": math.nan}, "dropout must be in"),
        ({"cell": "elman"}, "cell must be 'rnn_tanh', 'rnn_relu', 'gru' or 'lstm', got 'elman'"),
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
    for name in ("loss ", "perplexity ", "collapsed ", "reference: loss unigram floor", "nats per token"):
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
        "max_grad_norm": 0.25,
        "strength": 0.1,
        "reduction": "mean",
        "scope": "global",
        "schedule": "linear",
        "evaluation_tokens": None,
    }
    assert {name: paper.to_dict()[name] for name in expected} == expected


@pytest.mark.slow
def test_the_smoke_preset_runs_on_the_real_text(tmp_path: Path):
    folder = wikitext2()
    if folder is None:
        pytest.skip("WikiText-2 is not here: set RIEMOD_WIKITEXT2 to its folder")
    smoke = Language.presets["smoke"].replace(data=str(folder), manifold="torus", sparsity=0.9)
    record = train(start(RunFolder(tmp_path / "run"), RunDescription("language", smoke, None)))
    assert record["data"]["vocabulary_size"] == 33_278
    # Below guessing among all words, from 4,000 tokens.
    assert record["metrics"]["loss"]["value"] < math.log(33_278) - 1.5
    paper = Language.presets["paper"].replace(data=str(folder))
    assert isinstance(paper, LanguageConfig)
    task = Language(paper)
    assert [len(words) for words, _, _ in task.batches(torch.Generator(), 2984)][-2:] == [35, 25]
    levels = task.reference_levels(torch.Generator())
    assert levels["loss unigram floor"] == pytest.approx(6.634, abs=1e-3)
    # Where the reference's collapsed runs end: 2^6.84 in its tables.
    assert levels["test_loss of the training text's unigrams"] == pytest.approx(6.84, abs=0.05)
