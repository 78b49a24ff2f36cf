"""The guarded private names of torch: what they answer now, and the safe answer when a name is gone."""

import pytest
import torch
from torch import Tensor

from riemod import _torch


def test_transforms_are_seen():
    seen = []

    def noted(x: Tensor) -> Tensor:
        seen.append(_torch.inside_torch_func())
        return x.sum()

    noted(torch.ones(2))
    torch.func.grad(noted)(torch.ones(2))
    torch.func.vmap(noted)(torch.ones(2, 2))
    assert seen == [False, True, True]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_export_and_a_trace_are_seen():
    seen = []

    class Asking(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(_torch.inside_export())
            return x + 1

    torch.export.export(Asking(), (torch.ones(2),), strict=False)
    torch.jit.trace(Asking(), (torch.ones(2),), check_trace=False)
    assert set(seen) == {True}
    Asking()(torch.ones(2))
    assert seen[-1] is False


class Noting(torch.autograd.Function):
    kept: list[bool] = []  # noqa: RUF012

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        Noting.kept.append(_torch.graph_is_kept())
        return gradient


def test_a_kept_graph_is_seen():
    Noting.kept.clear()
    loss = Noting.apply(torch.ones(2, requires_grad=True)).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert Noting.kept == [True, False]


def test_versions_count_writes_in_place():
    tensor = torch.zeros(2)
    first = _torch.version_of(tensor)
    assert _torch.version_of(tensor) == first
    tensor.detach()[0] = 1
    assert _torch.version_of(tensor) > first


class Gone:
    """A place without any of the names."""


class Unversioned(Tensor):
    """A tensor without a version."""

    @property
    def _version(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        raise AttributeError("_version")


def test_without_the_names_the_answer_is_the_safe_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_torch.torch, "_C", Gone())
    assert _torch.inside_torch_func()
    assert _torch.graph_is_kept()
    tensor = torch.zeros(2).as_subclass(Unversioned)
    assert _torch.version_of(tensor) != _torch.version_of(tensor)
    monkeypatch.delattr(torch.sparse.SparseSemiStructuredTensorCUSPARSELT, "_DTYPE_SHAPE_CONSTRAINTS")
    monkeypatch.delattr(torch.sparse.SparseSemiStructuredTensor, "_FORCE_CUTLASS")
    assert _torch.semi_structured_limits(torch.float16)[1:] == (1, 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_limits_of_the_semi_structured_backend(dtype: torch.dtype):
    backend, rows, columns = _torch.semi_structured_limits(dtype)
    assert backend in ("cusparselt", "cutlass")
    assert rows > 1
    assert columns > 1


def test_a_fused_optimizer_takes_scaled_gradients():
    weight = torch.zeros(2, requires_grad=True)
    assert _torch.takes_scaled_gradients(torch.optim.AdamW([weight], fused=True))
    assert not _torch.takes_scaled_gradients(torch.optim.AdamW([weight], fused=False))
