"""The spectral radius of sparse matrices: against all eigenvalues, without cycles, and by Arnoldi iteration."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod.initialization import spectral_radius
from riemod.initialization import spectrum as spectrum_module
from tests.strategies import generator, seeds


@given(seeds, st.integers(1, 30), st.floats(0.02, 1.0))
def test_spectral_radius_is_the_largest_eigenvalue(seed: int, n: int, density: float):
    source = generator(seed)
    matrix = torch.randn(n, n, generator=source, dtype=torch.float64)
    matrix *= torch.rand(n, n, generator=source) < density
    scale = torch.linalg.matrix_norm(matrix, 2).item()
    found, plain = spectral_radius(matrix), torch.linalg.eigvals(matrix).abs().max().item()
    # Without a cycle the plain eigenvalues are what rounding makes of zeros.
    assert found == pytest.approx(plain, rel=1e-6, abs=1e-2 * scale if found == 0 else 1e-9)
    order = torch.randperm(n, generator=source)
    assert spectral_radius(3 * matrix[order][:, order].T) == pytest.approx(3 * found, rel=1e-9)


def test_an_entry_of_the_diagonal_is_no_eigenvalue_where_there_are_cycles():
    matrix = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, -1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    # Its eigenvalues are 0 and exp(+-i pi / 3).
    assert spectral_radius(0.5 * matrix) == pytest.approx(0.5)
    matrix[1, 2], matrix[2, 1] = -0.5, 0.5
    assert spectral_radius(matrix) == pytest.approx(0.5, rel=1e-6)
    matrix[0, 0] = -0.75
    assert spectral_radius(matrix) == 0.75


def test_arnoldi_agrees_with_all_eigenvalues(monkeypatch: pytest.MonkeyPatch):
    matrix = torch.randn(150, 150, generator=generator(0), dtype=torch.float64)
    matrix *= torch.rand(150, 150, generator=generator(1)) < 0.1
    dense = spectral_radius(matrix)
    monkeypatch.setattr(spectrum_module, "_DENSE_EIGENVALUES", 100)
    assert spectral_radius(matrix) == pytest.approx(dense, rel=1e-7)
    # Its loss of convergence is no loss of an answer: all eigenvalues of a permutation have the same modulus.
    cycle = torch.eye(150, dtype=torch.float64).roll(1, dims=0)
    assert spectral_radius(cycle) == pytest.approx(1.0, rel=1e-7)


def test_spectral_radius_of_bad_matrices():
    for bad in (torch.ones(2, 3), torch.ones(3)):
        with pytest.raises(ValueError, match="matrix must be square"):
            spectral_radius(bad)
    with pytest.raises(ValueError, match="matrix must be finite"):
        spectral_radius(torch.full((2, 2), torch.nan))
