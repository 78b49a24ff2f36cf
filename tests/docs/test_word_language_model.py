"""Someone else's program as client: the example of docs/examples, with riemod's lines and without."""

import ast
import random
from pathlib import Path

import pytest
import torch

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "word_language_model.py"
WORDS = ["the", "cat", "sat", "on", "the", "mat", "and", "the", "dog", "ran"]
MARK = "  # riemod"
SMALL = ("--width", "16", "--layers", "2", "--epochs", "4", "--batch", "4", "--bptt", "8", "--dropout", "0")


def source(with_riemod: bool) -> str:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if with_riemod or not line.endswith(MARK))


def mentions(text: str) -> int:
    tree = ast.parse(text)
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    imports = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    bases = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return sum(str(name).split(".")[0] == "riemod" for name in [*names, *imports, *bases])


def run(with_riemod: bool, folder: Path) -> dict[str, torch.Tensor]:
    space: dict = {"__name__": "word_language_model"}
    exec(compile(source(with_riemod), str(EXAMPLE), "exec"), space)
    space["main"]([*SMALL, "--data", str(folder), "--save", str(folder / "model.pt")])
    return torch.load(folder / "model.pt", weights_only=True)


@pytest.fixture
def corpus(tmp_path) -> Path:
    draw = random.Random(0)
    for name, lines in (("train", 60), ("valid", 12), ("test", 12)):
        text = [WORDS[draw.randrange(4) :] for _ in range(lines)]
        (tmp_path / f"{name}.txt").write_text("\n".join(" ".join(line) for line in text) + "\n", encoding="utf-8")
    return tmp_path


def test_at_most_six_lines_are_added():
    added = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line.endswith(MARK)]
    assert len(added) <= 6
    assert mentions(source(with_riemod=True)) > 0
    assert mentions(source(with_riemod=False)) == 0


def test_it_runs_and_its_model_is_sparse(corpus, capsys):
    state = run(with_riemod=True, folder=corpus)
    weights = {name: value for name, value in state.items() if f"{name}_mask" in state}
    assert {"encoder.weight", "rnn.weight_hh_l0", "rnn.weight_hh_l1", "decoder.weight"} <= weights.keys()
    total = sum(weight.numel() for weight in weights.values())
    assert sum(int((weight == 0).sum()) for weight in weights.values()) == round(0.9 * total)
    for name, weight in weights.items():
        assert not weight[~state[f"{name}_mask"]].any()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith("test")


def test_without_the_added_lines_it_is_a_plain_program(corpus, capsys):
    state = run(with_riemod=False, folder=corpus)
    assert not [name for name in state if name.endswith("_mask")]
    assert "test perplexity" in capsys.readouterr().out
