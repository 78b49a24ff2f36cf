"""A whole sequence in one compiled call: the states of torch's layers, for whom it is, and what it refuses."""

import ctypes
import logging
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from riemod import MagnitudePruner
from riemod.sparse import _at_once as at_once
from riemod.sparse import compress
from tests.strategies import generator

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("g++"), reason="the loop is compiled by g++ on Linux"
)
KINDS = {
    "tanh": nn.RNN,
    "relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}


@pytest.fixture
def calls(monkeypatch):
    """The modes of the calls of the loop, as they are made."""
    made = []
    whole = at_once.scan

    def counted(mode, *others, **options):
        made.append(mode)
        return whole(mode, *others, **options)

    monkeypatch.setattr(at_once, "scan", counted)
    return made


def pruned(kind, n, sparsity=0.8, seed=0, **options):
    torch.manual_seed(seed)
    layer = KINDS[kind](3, n, **options).eval()
    MagnitudePruner(layer).prune(sparsity)
    return layer


@torch.no_grad()
def agree(layer, small, x, hx=None, tolerance=2e-6):
    """Both are float32; the oracle is the same layer in float64."""
    precise = layer.double()
    exact = None if hx is None else tuple(part.double() for part in hx) if isinstance(hx, tuple) else hx.double()
    expected, found = precise(x.double(), exact), small(x, hx)
    layer.float()
    for own, other in zip(flat(found), flat(expected), strict=True):
        assert own.dtype == torch.float32
        torch.testing.assert_close(own.double(), other, rtol=2e-5, atol=tolerance)


def flat(result):
    output, states = result
    return [output, *(states if isinstance(states, tuple) else (states,))]


@pytest.mark.filterwarnings("ignore:.* is empty:UserWarning")
@given(
    kind=st.sampled_from(sorted(KINDS)),
    layout=st.sampled_from(["csr", "block16", "block32", "block64"]),
    n=st.sampled_from([2, 7, 16, 33, 64, 70]),
    batch=st.integers(1, 16),
    steps=st.integers(1, 5),
    sparsity=st.sampled_from([0.3, 0.5, 0.9, 0.99]),
    options=st.fixed_dictionaries(
        {"num_layers": st.integers(1, 2), "bidirectional": st.booleans(), "bias": st.booleans()}
    ),
    has_state=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_states_are_those_of_torch(kind, layout, n, batch, steps, sparsity, options, has_state):
    layer = pruned(kind, n, sparsity, **options)
    small = compress(layer, layout)
    x = torch.randn(steps, batch, 3, generator=generator(1))
    count = options["num_layers"] * (2 if options["bidirectional"] else 1)
    states = torch.randn(2, count, batch, n, generator=generator(2))
    hx = None if not has_state else tuple(states) if kind == "lstm" else states[0]
    agree(layer, small, x, hx)


@pytest.mark.parametrize("kind", KINDS)
def test_it_runs_where_no_gradient_is_asked_for(kind, calls):
    layer = pruned(kind, 40, batch_first=True)
    small = compress(layer, "csr")
    x = torch.randn(4, 6, 3)
    agree(layer, small, x)
    agree(layer, small, x[0])
    with torch.inference_mode():
        small(x)
    assert len(calls) == 3
    small(x)[0].sum().backward()
    gradient = small.get_parameter("weight_hh_l0.values").grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    assert len(calls) == 3


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore:There is a performance drop:UserWarning"
)
def test_for_whom_it_is_not(calls):
    layer = pruned("tanh", 40)
    small = compress(layer, "csr")
    x = torch.randn(6, 4, 3)
    # The check of a trace calls the layer itself.
    traced: Any = torch.jit.trace(small, (x,), check_trace=False)
    packed = nn.utils.rnn.pack_sequence([x[:4, 0], x[:2, 1]])
    with torch.no_grad():
        for net, other in (
            (small, torch.randn(6, 17, 3)),
            (small, packed),
            (compress(layer, "block8"), x),
            (compress(layer, {"weight_ih_l0": "csr"}), x),
            (compress(pruned("tanh", 40).double(), "csr"), x.double()),
            (traced, x),
        ):
            expected = layer.to(x.dtype if isinstance(other, tuple) else other.dtype)(other)[0]
            layer.float()
            found = net(other)[0]
            torch.testing.assert_close(*(part[0] if isinstance(part, tuple) else part for part in (found, expected)))
        with torch.autocast("cpu", torch.bfloat16):
            small(x)
        found = torch.func.vmap(lambda sequence: small(sequence)[0])(torch.stack([x, -x]))
        torch.testing.assert_close(found, torch.stack([layer(x)[0], layer(-x)[0]]), rtol=1e-4, atol=1e-5)
    assert not calls


def test_more_entries_than_it_is_for(monkeypatch, calls):
    small = compress(pruned("tanh", 40), "csr")
    monkeypatch.setattr(at_once, "LARGEST_COUNT", 100)
    with torch.no_grad():
        small(torch.randn(2, 1, 3))
    assert not calls


@pytest.mark.parametrize("kind", KINDS)
def test_large_numbers_saturate_and_nan_stays(kind):
    layer = pruned(kind, 16)
    layer.get_parameter("weight_ih_l0").data.mul_(1e4)
    small = compress(layer, "csr")
    agree(layer, small, torch.randn(1, 3, 3, generator=generator(0)), tolerance=1e-3)
    x = torch.randn(4, 1, 3)
    x[1, 0, 0] = float("nan")
    step_by_step = small(x)[0].isnan()
    with torch.no_grad():
        assert torch.equal(small(x)[0].isnan(), step_by_step)
    assert bool(step_by_step.any())


def test_the_hidden_state_that_was_given_stays_as_it_was():
    small = compress(pruned("lstm", 16), "csr")
    hx = (torch.randn(1, 1, 16), torch.randn(1, 1, 16))
    before = [part.clone() for part in hx]
    with torch.no_grad():
        _, after = small(torch.randn(3, 1, 3), hx)
    assert all(torch.equal(*pair) for pair in zip(hx, before, strict=True))
    assert not torch.equal(after[1], hx[1])


@pytest.mark.parametrize(("layout", "name"), [("csr", "columns"), ("csr", "row_starts"), ("block16", "block_columns")])
@pytest.mark.parametrize("value", [-1, 10**6])
def test_an_index_that_lies_outside_is_an_error(layout, name, value):
    small = compress(pruned("tanh", 40), layout)
    small.get_buffer(f"weight_hh_l0.{name}")[-1] = value
    with pytest.raises(ValueError, match="must lie in"), torch.no_grad():
        small(torch.randn(2, 1, 3))


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A cache folder of its own, and nothing loaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    # Folders above it belong to the user, but not to others.
    monkeypatch.setattr("riemod._code_folder._check_above", lambda _: None)
    at_once._function.cache_clear()
    yield tmp_path / "riemod" / "kernels"
    at_once._function.cache_clear()


def libraries(folder):
    return [path.name for path in folder.glob("*.so")]


def test_it_is_compiled_once_and_anew_where_it_is_damaged(fresh):
    assert at_once._function() is not None
    (name,) = libraries(fresh)
    at_once._function.cache_clear()
    assert at_once._function() is not None
    assert libraries(fresh) == [name]
    content = (fresh / name).read_bytes()
    (fresh / name).unlink()
    (fresh / name).write_bytes(content[:1000])
    at_once._function.cache_clear()
    assert at_once._function() is not None
    assert libraries(fresh) == [name]
    assert len((fresh / name).read_bytes()) > 1000


def test_a_folder_that_others_may_write_keeps_nothing(fresh, caplog):
    fresh.mkdir(parents=True)
    fresh.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        assert at_once._function() is not None
    assert "not kept" in caplog.text
    assert not libraries(fresh)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CXX", "no-such-compiler", "no C++ compiler"),
        ("TORCH_COMPILE_DISABLE", "1", "TORCH_COMPILE_DISABLE is set"),
        ("TORCHDYNAMO_DISABLE", "1", "TORCHDYNAMO_DISABLE is set"),
    ],
)
def test_without_a_compiler_steps_run_one_by_one(fresh, monkeypatch, caplog, name, value, told):
    monkeypatch.setenv(name, value)
    layer = pruned("gru", 40)
    with caplog.at_level(logging.INFO):
        agree(layer, compress(layer, "csr"), torch.randn(3, 2, 3))
    assert caplog.text.count(told) == 1
    assert not fresh.exists()


def test_a_compiler_that_fails_is_told(fresh, monkeypatch, tmp_path, caplog):
    compiler = tmp_path / "compiler"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho no space left >&2\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with caplog.at_level(logging.INFO):
        assert at_once._function() is None
    assert "no space left" in caplog.text
    assert not libraries(fresh)


@pytest.mark.slow
def test_it_reads_and_writes_nothing_outside(tmp_path):
    """The same calls under the address sanitizer, in a process of its own."""
    source = at_once.files("riemod.sparse").joinpath("scan.cpp")
    library = tmp_path / "scan.so"
    flags = [flag for flag in at_once._FLAGS if flag != "-O3"]
    command = ["g++", *flags, "-O1", "-g", "-fsanitize=address,undefined", str(source), "-o", str(library)]
    subprocess.run(command, check=True)
    libraries = [
        subprocess.run(["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0:alloc_dealloc_mismatch=0",
        "UBSAN_OPTIONS": "halt_on_error=1",
        "RIEMOD_SCAN": str(library),
    }
    finished = subprocess.run(
        [sys.executable, __file__], env=environment, check=False, capture_output=True, text=True, timeout=280
    )
    assert finished.returncode == 0, finished.stderr[:2000]


def main():
    """Run every kind and layout by the library that the test above has compiled."""
    path = os.environ["RIEMOD_SCAN"]
    at_once._library = lambda: ctypes.CDLL(path)
    for kind in KINDS:
        for layout in ("csr", "block16", "block64"):
            for n, batch in ((2, 1), (33, 1), (33, 3), (70, 16)):
                layer = pruned(kind, n, bidirectional=True)
                agree(layer, compress(layer, layout), torch.randn(3, batch, 3))


if __name__ == "__main__":
    main()
