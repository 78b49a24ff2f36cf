"""`riemod warmup` compiles what the penalty needs, or says that it cannot."""

import pytest

from riemod.cli import warmup
from riemod.cli.commands import main
from riemod.manifolds import NAMES, Manifold


@pytest.fixture
def prepared(monkeypatch) -> list[str]:
    """Return the list of what is prepared; nothing is compiled, and the Klein bottle cannot be."""
    asked: list[str] = []

    def prepare(manifold: Manifold, inhibitor: object) -> bool:
        asked.append(f"{inhibitor} on {manifold}".split("(")[0] + f" on {type(manifold).__name__}")
        return type(manifold).__name__ != "KleinBottle"

    monkeypatch.setattr(warmup, "prepare", prepare)
    monkeypatch.setattr(warmup, "refusal", lambda: None)
    return asked


def test_each_manifold_is_prepared_with_the_default_inhibitor(prepared, capsys):
    main(["warmup", "torus", "sphere"])
    assert prepared == ["DifferenceOfGaussians on Torus", "DifferenceOfGaussians on Sphere"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("...")[0].strip() for line in lines] == ["1 of 2: torus", "2 of 2: sphere"]
    assert all(" ready after " in line for line in lines)


def test_what_cannot_be_compiled_ends_it_with_status_2(prepared, capsys):
    with pytest.raises(SystemExit) as end:
        main(["warmup"])
    assert end.value.code == 2
    assert len(prepared) == NAMES.index("klein") + 1
    assert "the kernels of klein cannot be compiled here" in capsys.readouterr().err


def test_where_nothing_is_compiled_beforehand_it_says_why(prepared, capsys, monkeypatch):
    monkeypatch.setattr(warmup, "refusal", lambda: "this is torch 2.6")
    with pytest.raises(SystemExit) as end:
        main(["warmup"])
    assert (end.value.code, prepared) == (2, [])
    assert "there is nothing to compile beforehand: this is torch 2.6" in capsys.readouterr().err


def test_a_manifold_that_there_is_not_is_named(prepared, capsys):
    with pytest.raises(SystemExit) as end:
        main(["warmup", "torus", "tours"])
    assert (end.value.code, prepared) == (2, [])
    assert "name must be one of circle, sphere, torus" in capsys.readouterr().err
