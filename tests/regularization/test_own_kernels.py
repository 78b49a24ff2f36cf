"""Kernels of riemod's own laws: which laws these are, and what happens where none can be compiled, kept or loaded."""

import logging
import pickle
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from riemod import moduli_penalty
from riemod.manifolds import PoincareBall, Product, Torus
from riemod.regularization import _kernels as kernels
from riemod.regularization import _own_kernels as own_kernels
from riemod.regularization._own_kernels import Recipe, text_of
from riemod.regularization._tiles import KnownCosts, Law
from riemod.regularization.inhibitors import Custom, DifferenceOfGaussians, Gaussian, Inhibitor, Scaled, Signed
from tests.regularization.formulas import EVERY, MANIFOLDS, plain_penalty
from tests.strategies import generator

LAW = DifferenceOfGaussians()
N = 130


@dataclass(frozen=True)
class Foreign(Inhibitor):
    """A user's law."""

    width: float = 1.0
    collapses = True

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        return squared / self.width


class Renamed(Torus):
    """A user's manifold, which says what it depends on."""

    def tile_key(self) -> tuple[object, ...]:
        return (Renamed, self.period)


def text(manifold=None, law=LAW, power=1.0, learn=True) -> str | None:
    return text_of(Law(Torus(2) if manifold is None else manifold, law, power, learn))


@pytest.fixture
def ahead_of_time(monkeypatch):
    """Any torch is one for which kernels are compiled ahead of time."""
    monkeypatch.setattr(own_kernels.ahead_of_time, "refusal", lambda: None)


@pytest.mark.usefixtures("ahead_of_time")
def test_every_law_of_riemod_s_own_has_a_text_of_its_own_which_is_the_same_in_every_process():
    texts = [text(make()) for make in MANIFOLDS.values()]
    texts += [text(law=law) for name, law in EVERY.items() if name not in ("custom", "dog")]
    texts += [text(power=2.0), text(learn=False), text(Torus(2, 9.0)), text(PoincareBall(2, -2.0))]
    texts += [text(law=Signed(Gaussian(), LAW)), text(law=Signed(LAW, Gaussian())), text(law=Scaled(LAW, 2.0))]
    texts += [text_of(KnownCosts(1.0)), text_of(KnownCosts(1.0, signed=True)), text_of(KnownCosts(2.0))]
    assert None not in texts
    assert len(set(texts)) == len(texts)
    assert not [found for found in texts if " at 0x" in str(found)]
    assert text(Torus(2, 10)) == text(Torus(2, 10.0)) == text()
    assert text(law=Gaussian(width=5)) == text(law=Gaussian(width=5.0))
    # A learned curvature is a coordinate.
    assert text(PoincareBall(2, -1.0, learn_curvature=True)) == text(PoincareBall(2, -3.0, learn_curvature=True))


@pytest.mark.parametrize(
    ("manifold", "law"),
    [
        (Torus(2), Foreign()),
        (Torus(2), Custom(lambda d: d)),
        (Torus(2), Scaled(Foreign(), 2.0)),
        (Torus(2), Signed(LAW, Foreign())),
        (Renamed(2), LAW),
        (Product([Torus(1), Renamed(1)]), LAW),
    ],
)
@pytest.mark.usefixtures("ahead_of_time")
def test_a_law_that_a_user_may_change_has_none(manifold, law):
    assert text(manifold, law) is None


@pytest.mark.usefixtures("ahead_of_time")
def test_a_recipe_can_be_handed_to_another_process():
    for law in (Law(make(), LAW, 1.0, True) for make in MANIFOLDS.values()):
        recipe = pickle.loads(pickle.dumps(Recipe(law, torch.float32, torch.float32, "g++")))
        assert text_of(recipe.law) == text_of(law)


@pytest.fixture
def compiled(monkeypatch, tmp_path, ahead_of_time):
    """Return a function that makes riemod compile whatever bytes it is given, and the folder of the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(own_kernels, "text_of", text_of)
    monkeypatch.setattr(own_kernels, "_SAID", set())
    monkeypatch.setattr(kernels, "_KERNELS", {})
    monkeypatch.setattr(kernels, "_NOTED", set())

    def compile_to(content: bytes | Exception) -> Path:
        def compile_tile(recipe: Recipe) -> bytes:
            if isinstance(content, Exception):
                raise content
            return content

        monkeypatch.setattr(own_kernels, "_compile", compile_tile)
        return tmp_path / "riemod" / "kernels"

    return compile_to


def penalty_and_notes(caplog) -> list[str]:
    """Compare the penalty of a weight that is worth a kernel with the formula; return what was logged."""
    torus = Torus(2)
    points = torus.sample(N, generator=generator(0)).requires_grad_()
    weight = torch.randn(N, N, generator=generator(1)).requires_grad_()
    caplog.clear()
    with caplog.at_level(logging.INFO, "riemod"):
        found = [moduli_penalty(weight, points, torus, LAW) for _ in range(2)]
    expected = plain_penalty(weight, points, torus, LAW)
    for value in found:
        torch.testing.assert_close(value, expected)
    slopes = torch.autograd.grad(found[0], [weight, points])
    torch.testing.assert_close(slopes, torch.autograd.grad(expected, [weight, points]))
    return [record.getMessage() for record in caplog.records]


EAGER = "the penalty runs without a compiled kernel, several times slower: "


def test_what_cannot_be_compiled_runs_eagerly_and_one_line_says_so(compiled, caplog):
    folder = compiled(RuntimeError("no space left on the device"))
    assert penalty_and_notes(caplog) == [f"{EAGER}RuntimeError: no space left on the device"]
    assert not list(folder.glob("*.so"))


def test_without_a_compiler_one_line_says_so(compiled, caplog, monkeypatch):
    compiled(b"")
    monkeypatch.setenv("CXX", "/no/such/compiler")
    assert penalty_and_notes(caplog) == [
        f"{EAGER}RuntimeError: there is no C++ compiler: neither CXX nor g++ names one"
    ]


@pytest.mark.parametrize("name", ["TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE"])
def test_variables_that_switch_compilers_off_are_heeded_and_noted(compiled, caplog, monkeypatch, name):
    compiled(b"")
    monkeypatch.setenv(name, "1")
    assert penalty_and_notes(caplog) == [f"{EAGER}{name}=1: compilers are switched off"]
    assert caplog.records[0].levelname == "INFO"


def library(folder: Path) -> bytes:
    """Return a shared library that is none of AOTInductor's."""
    (folder / "other.c").write_text("int other(void) { return 0; }")
    subprocess.run(["gcc", "-shared", "-o", "other.so", "other.c"], cwd=folder, check=True)
    return (folder / "other.so").read_bytes()


@pytest.mark.parametrize("foreign", [True, False])
def test_a_library_that_cannot_be_loaded_is_not_kept(foreign, compiled, caplog, tmp_path):
    compiled(library(tmp_path) if foreign else b"no library")
    for _ in range(2):
        kernels._KERNELS.clear()
        kernels._NOTED.clear()
        own_kernels._SAID.clear()
        *_, last = penalty_and_notes(caplog)
        assert last.startswith(f"{EAGER}OSError: ")
    assert not foreign or re.search("is no library of AOTInductor's", last)


def test_a_cache_that_cannot_be_written_is_done_without(compiled, caplog, monkeypatch):
    compiled(b"no library")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device", "kernel.so")

    monkeypatch.setattr(own_kernels, "store_code", refuse)
    first, second = penalty_and_notes(caplog)
    assert first.startswith("compiled kernels are not kept: ")
    assert second.startswith(f"{EAGER}OSError: ")


@pytest.mark.parametrize("torch_version", ["2.12.1", "2.6.0+cpu"])
def test_an_older_torch_goes_through_torch_compile(torch_version, monkeypatch):
    own_kernels.ahead_of_time.refusal.cache_clear()
    monkeypatch.setattr(torch, "__version__", torch_version)
    assert f"this is {torch_version}" in str(own_kernels.ahead_of_time.refusal())
    assert text() is None
    own_kernels.ahead_of_time.refusal.cache_clear()


def test_what_a_kernel_depends_on_is_in_its_key(tmp_path):
    one, other = (tmp_path / name for name in ("one", "other"))
    for compiler, version in ((one, "g++ 12"), (other, "g++ 13")):
        compiler.write_text(f"#!/bin/sh\necho {version}\n")
        compiler.chmod(0o700)
    told = [own_kernels.ahead_of_time.build_identity(str(compiler)) for compiler in (one, other)]
    assert told[0] != told[1]
    assert torch.__version__ in told[0]
    one.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(OSError, match="status 3"):
        own_kernels.ahead_of_time.build_identity(str(one))


def test_settings_of_the_process_do_not_reach_the_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CPP_ENABLE_UNSAFE_MATH_OPT_FLAG", "1")
    monkeypatch.setenv("TORCH_LOGS", "all")
    environment = own_kernels.ahead_of_time.clean_environment(tmp_path)
    assert not {"TORCH_LOGS", "TORCHINDUCTOR_CPP_ENABLE_UNSAFE_MATH_OPT_FLAG"} & environment.keys()
    assert environment["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)
    assert "PATH" in environment
