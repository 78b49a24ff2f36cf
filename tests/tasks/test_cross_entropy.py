"""The cross-entropy with a code: torch's value and gradient, whatever the pieces."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from riemod.tasks import cross_entropy as module
from riemod.tasks.cross_entropy import cross_entropy
from tests.strategies import generator, seeds


@given(seeds, st.integers(1, 9), st.integers(1, 7), st.integers(1, 40), st.floats(0.1, 200))
def test_it_is_torchs(seed: int, rows: int, columns: int, piece: int, scale: float):
    scores = (scale * torch.randn(rows, columns, generator=generator(seed), dtype=torch.float64)).requires_grad_()
    code = torch.rand(rows, columns, generator=generator(seed), dtype=torch.float64).softmax(-1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", piece)
        found = cross_entropy(scores, code)
    expected = F.cross_entropy(scores, code)
    torch.testing.assert_close(found, expected)
    for factor in (1.0, -2.5):
        ours, theirs = (torch.autograd.grad(factor * loss, scores, retain_graph=True)[0] for loss in (found, expected))
        torch.testing.assert_close(ours, theirs)


def test_float32_is_as_good_as_torchs():
    scores = 30 * torch.randn(4000, 300, generator=generator(0))
    code = torch.rand(4000, 300, generator=generator(1)).softmax(-1)
    exact = F.cross_entropy(scores.double(), code.double())
    assert abs(cross_entropy(scores, code) - exact) <= 2 * abs(F.cross_entropy(scores, code) - exact) + 1e-6 * exact


def test_scores_of_another_dtype_and_a_nan_are_left_to_torch():
    scores, code = torch.randn(3, 4, generator=generator(0)), torch.full((3, 4), 0.25)
    assert cross_entropy(scores.bfloat16(), code).isfinite()
    scores[1, 2] = float("nan")
    assert cross_entropy(scores, code).isnan()


def test_a_gradient_that_was_handed_out_is_not_handed_out_again_after_a_change():
    scores = torch.randn(3, 4, generator=generator(0)).requires_grad_()
    loss = cross_entropy(scores, torch.full((3, 4), 0.25))
    loss.backward(retain_graph=True)
    assert scores.grad is not None
    first = scores.grad.clone()
    scores.grad.zero_()
    loss.backward()
    torch.testing.assert_close(scores.grad, first)
