"""Tiles compiled and eager, and what the penalty does where nothing can be compiled."""

import json
import logging
import math
import re
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from riemod import moduli_penalty
from riemod._ahead_of_time import refusal
from riemod.manifolds import PoincareBall, Product, Torus
from riemod.regularization import _kernels as kernels
from riemod.regularization import _pages as pages
from riemod.regularization import _tiles as tiles
from riemod.regularization.inhibitors import Custom, DifferenceOfGaussians, Gaussian, Inhibitor, Ricker
from tests.regularization.formulas import MANIFOLDS, limit_tiles, plain_penalty
from tests.regularization.test_processes import ENVIRONMENT, ROOT
from tests.strategies import generator

LAW = DifferenceOfGaussians()
N = 130


def work(*arguments: str, **environment: str) -> str:
    """Run a part of kernel_worker in a process of its own, which checks no types; return what it prints."""
    command = [sys.executable, "-m", "tests.regularization.kernel_worker", *arguments]
    finished = subprocess.run(
        command, cwd=ROOT, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A user's cache with the kernel of one law."""
    folder = tmp_path_factory.mktemp("cache")
    work("laws", "quick", "torus", XDG_CACHE_HOME=str(folder))
    return folder


AHEAD_OF_TIME = pytest.mark.skipif(refusal() is not None, reason=str(refusal()))


def test_compiled_tiles_are_the_eager_ones_and_the_formula(cache):
    kept = [kernel.stat().st_size for kernel in (cache / "riemod" / "kernels").glob("*.so")]
    assert len(kept) == (1 if refusal() is None else 0)
    assert 0 not in kept


@AHEAD_OF_TIME
def test_the_first_call_of_a_process_neither_compiles_nor_imports_dynamo_and_its_bits_need_no_thread(cache):
    found = json.loads(work("first_call", XDG_CACHE_HOME=str(cache)))
    assert (len(found["bits"]), found["notes"], found["dynamo"]) == (1, [], False)


@pytest.mark.slow
@AHEAD_OF_TIME
def test_kernels_compiled_anew_have_the_same_bits(cache, tmp_path):
    kept = json.loads(work("first_call", XDG_CACHE_HOME=str(cache)))
    # A folder that others may read is not trusted.
    (tmp_path / "riemod" / "kernels").mkdir(parents=True)
    (tmp_path / "riemod" / "kernels").chmod(0o755)
    alone = json.loads(work("first_call", XDG_CACHE_HOME=str(tmp_path), TMPDIR=str(tmp_path)))
    assert re.match("compiled kernels are not kept: .*must have the mode 700", alone["notes"][0])
    assert list(tmp_path.iterdir()) == [tmp_path / "riemod"]
    # A truncated one is compiled anew.
    (kernel,) = (cache / "riemod" / "kernels").glob("*.so")
    kernel.write_bytes(kernel.read_bytes()[:-100])
    again = json.loads(work("first_call", XDG_CACHE_HOME=str(cache)))
    assert [note.split(":")[0] for note in again["notes"]][:1] == ["compiled anew"]
    assert kept["bits"] == alone["bits"] == again["bits"]


@pytest.mark.slow
@pytest.mark.parametrize("manifold", MANIFOLDS)
def test_compiled_tiles_of_every_law(manifold):
    work("laws", manifold)


def test_without_a_compiler_tiles_are_eager_and_one_note_says_so(tmp_path):
    work("no_compiler", CXX=str(tmp_path / "none"), TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"))


@pytest.mark.slow
@pytest.mark.parametrize("part", ["changes", "training", "memory"])
def test_compiled_tiles_when_laws_change_inside_compiled_steps_and_in_memory(part):
    work(part)


class Unkeyed(Torus):
    """A torus of half the distances, which does not say what they depend on."""

    def squared_distance(self, row_coordinates: Tensor, column_coordinates: Tensor) -> Tensor:
        return super().squared_distance(row_coordinates, column_coordinates) / 4


@dataclass(eq=True)
class Unhashable(Inhibitor):
    """A law that may change, and so has no hash."""

    collapses = False

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        return 1 + torch.cos(squared)


@pytest.mark.parametrize(
    ("torus", "law", "reason"),
    [
        (Unkeyed(2), LAW, r"on Unkeyed\(dim=2, period=10\): no tile_key"),
        (Product([Torus(1), Unkeyed(1)]), LAW, r"on Product\(.*: no tile_key"),
        (Torus(2), Unhashable(), "unhashable type"),
        (Torus(2), Custom(lambda d: d * float(d.sum() > -1)), "Unsupported"),
    ],
)
def test_what_cannot_be_compiled_runs_eagerly_with_one_note(torus, law, reason, monkeypatch, caplog):
    monkeypatch.setattr(kernels, "_NOTED", set())
    points = torus.sample(N, generator=generator(0)).requires_grad_()
    weight = torch.randn(N, N, generator=generator(1)).requires_grad_()
    with caplog.at_level(logging.INFO, "riemod"):
        values = [moduli_penalty(weight, points, torus, law) for _ in range(2)]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert re.search(rf"^the penalty runs without a compiled kernel.*({reason})", caplog.records[0].getMessage())
    caplog.clear()
    monkeypatch.setattr(kernels, "COMPILED_FROM", math.inf)
    with caplog.at_level(logging.INFO, "riemod"):
        eager = moduli_penalty(weight, points, torus, law)
    assert not caplog.records
    assert [value.item() for value in values] == [eager.item()] * 2
    found, expected = (torch.autograd.grad(value, [weight, points]) for value in (values[0], eager))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_kernels_are_shared_by_equal_laws_alone():
    def key(manifold, law=LAW, power=1.0, learn=True, dtype=torch.float32, weight_dtype=torch.float32):
        return kernels._kernel_key(tiles.Law(manifold, law, power, learn), weight_dtype, dtype, torch.device("cpu"))

    assert key(Torus(2)) == key(Torus(2)) is not None
    keys = [key(manifold()) for manifold in MANIFOLDS.values()]
    keys += [key(Torus(2, 9.0)), key(Torus(3)), key(PoincareBall(2, -2.0)), key(Torus(2), Gaussian())]
    keys += [key(Torus(2), Gaussian(width=2.0)), key(Torus(2), Ricker()), key(Torus(2), LAW, 2.0)]
    keys += [key(Torus(2), learn=False), key(Torus(2), dtype=torch.float64)]
    keys += [key(Torus(2), weight_dtype=torch.float16)]
    assert len(set(keys)) == len(keys)
    # Another learned curvature is another coordinate, not another law.
    assert key(PoincareBall(2, -1.0, learn_curvature=True)) == key(PoincareBall(2, -3.0, learn_curvature=True))


def test_few_kernels_are_kept(monkeypatch):
    monkeypatch.setattr(kernels, "_KERNELS", {})
    monkeypatch.setattr(kernels, "_KEPT_KERNELS", 3)
    for width in range(1, 6):
        law = tiles.Law(Torus(2), Gaussian(width=float(width)), 1, True)
        kernels.Tile(law, True, torch.float32, torch.float32, torch.device("cpu"))
    assert [key[0][1] for key in kernels._KERNELS] == [Gaussian(width=float(width)) for width in (3, 4, 5)]


@pytest.mark.parametrize("elements", [1, 5, 64, 1000])
def test_tiles_cover_a_weight_once_and_fit(elements, monkeypatch):
    limit_tiles(monkeypatch, elements)
    for rows, columns in [(1, 1), (7, 3), (3, 7), (40, 41)]:
        height, width = tiles.tile_shape(columns, torch.device("cpu"))
        seen = torch.zeros(rows, columns, dtype=torch.int64)
        for down in tiles.spans(rows, height):
            for along in tiles.spans(columns, width):
                assert seen[down, along].numel() <= elements
                seen[down, along] += 1
        assert bool((seen == 1).all())


def test_a_graph_may_be_walked_again_and_again():
    torus, points = Torus(2), Torus(2).sample(5, generator=generator(0)).requires_grad_()
    weight = torch.randn(5, 5, generator=generator(1)).requires_grad_()
    value = moduli_penalty(weight, points, torus, LAW)
    expected = torch.autograd.grad(plain_penalty(weight, points, torus, LAW), [weight, points])
    for count in (1, 2, 3):
        value.backward(retain_graph=True)
        torch.testing.assert_close((weight.grad, points.grad), tuple(count * slope for slope in expected))
    # The last walk may use up what was saved, and what it gives belongs to the caller alone.
    last = torch.autograd.grad(3 * value, [weight, points])
    torch.testing.assert_close(last, tuple(3 * slope for slope in expected))
    last[0].zero_()
    torch.testing.assert_close((weight.grad, points.grad), tuple(3 * slope for slope in expected))
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(value, [weight])


def test_a_weight_without_gradient_costs_no_memory():
    torus, points = Torus(2), Torus(2).sample(N, generator=generator(0)).requires_grad_()
    weight = torch.randn(N, N, generator=generator(1))
    value = moduli_penalty(weight, points, torus, LAW, 2)
    assert max(saved.numel() for saved in value.grad_fn.saved_tensors) < N * N
    torch.testing.assert_close(value, plain_penalty(weight, points, torus, LAW, 2))
    torch.testing.assert_close(
        torch.autograd.grad(value, points), torch.autograd.grad(plain_penalty(weight, points, torus, LAW, 2), points)
    )


def test_torch_func_takes_large_weights_without_a_kernel(caplog):
    torus, points = Torus(2), Torus(2).sample(N, generator=generator(0))
    weight = torch.randn(N, N, generator=generator(1))
    slope = torch.func.grad(lambda w: moduli_penalty(w, points, torus, LAW))(weight)
    weight.requires_grad_()
    torch.testing.assert_close(slope, torch.autograd.grad(plain_penalty(weight, points, torus, LAW), weight)[0])
    assert not caplog.records


def test_the_gradient_of_a_large_weight_is_like_any_other():
    weight = torch.randn(2900, 2900, generator=generator(0))
    assert weight.nbytes > pages._MAPPED_FROM
    fresh = pages.fresh_like(weight.t())
    assert (fresh.shape, fresh.stride(), fresh.dtype) == (weight.shape, weight.t().stride(), weight.dtype)
    assert torch.equal(fresh.copy_(weight), weight)


def test_far_pairs_make_no_denormal_numbers():
    far = torch.linspace(0, 1e6, 1001)
    for law in (LAW, Ricker()):
        squared = far.clone().requires_grad_()
        cost = law.of_squared_distance(squared)
        (slope,) = torch.autograd.grad(cost.sum(), squared)
        tiny = torch.finfo(torch.float32).tiny
        assert bool(((cost == 0) | (cost >= tiny)).all())
        assert bool(((slope == 0) | (slope.abs() >= tiny)).all())
