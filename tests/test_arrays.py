"""Checks of arrays and tensors: what passes, and what each error says."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from riemod._arrays import (
    as_array,
    check_array,
    check_distances,
    check_indices,
    check_order,
    check_points,
    check_tensor,
)


@pytest.mark.parametrize("values", [[1, 2.5], (True, 0), torch.tensor([1.0]), np.float32(3), [Fraction(1, 4), 2]])
def test_numbers_become_float64_arrays(values: object):
    array = as_array(values)
    assert array.dtype == np.float64
    assert np.array_equal(array, np.asarray(values, dtype=float))


def test_float64_arrays_are_not_copied():
    array = np.ones(3)
    assert np.shares_memory(as_array(array), array)


@pytest.mark.parametrize(
    "values",
    [
        None,
        "x",
        "1.5",
        b"x",
        {},
        object(),
        int,
        [None, 1.0],
        10**400,
        1j,
        iter(()),
        np.array(["x"]),
        torch.nn.Identity(),
    ],
)
def test_what_holds_no_numbers_is_refused_by_name(values: object):
    with pytest.raises(TypeError, match=r"^points must be an array of numbers, got "):
        check_points(values)


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="states must be an array of numbers, got rows of different lengths"):
        as_array([[1.0], [1.0, 2.0]], "states")


@pytest.mark.parametrize(
    "tensor", [torch.zeros(2, device="meta"), torch.zeros(2).to_sparse(), torch.zeros(2, dtype=torch.complex64)]
)
def test_tensors_without_real_numbers_in_memory_are_refused(tensor: torch.Tensor):
    with pytest.raises(TypeError, match="x must be a dense tensor of real numbers, got"):
        check_tensor("x", tensor)
    with pytest.raises(TypeError, match="x must be dense real numbers, got"):
        as_array(tensor, "x")


def test_shapes_are_compared_axis_by_axis():
    assert check_tensor("x", torch.zeros(3, 2), ("n", 2)).shape == (3, 2)
    assert check_array("x", [[1, 2]], (None, 2)).shape == (1, 2)
    with pytest.raises(ValueError, match=r"x must have the shape \(n, 2\), got \(3,\)"):
        check_tensor("x", torch.zeros(3), ("n", 2))
    with pytest.raises(ValueError, match=r"x must have the shape \(4,\), got \(3,\)"):
        check_array("x", [1, 2, 3], (4,))
    with pytest.raises(TypeError, match="x must be a tensor, got list"):
        check_tensor("x", [1.0])


def test_orders_and_indices_are_of_the_things_that_there_are():
    assert check_order("order", torch.tensor([2, 0, 1]), 3).tolist() == [2, 0, 1]
    assert check_indices("sources", [3, 3, 0], 4).dtype == np.int64
    for wrong in ([0, 0, 1], [0, 1, 3], [0.5, 1, 2], [0, 1]):
        with pytest.raises(ValueError, match="order must"):
            check_order("order", wrong, 3)
    for wrong in ([], [4], [-1], [0.5], [float("nan")]):
        with pytest.raises(ValueError, match="sources must"):
            check_indices("sources", wrong, 4)


def test_rounding_on_the_diagonal_of_distances_is_zero():
    activity = np.random.default_rng(0).standard_normal((6, 50))
    distances = 1 - np.corrcoef(activity)
    distances[0, 0], distances[1, 1], distances[2, 3], distances[3, 2] = 2e-16, -2e-16, -1e-17, -1e-17
    found = check_distances(distances)
    assert (found.diagonal() == 0).all()
    assert found.min() == 0
    np.testing.assert_allclose(found, distances, atol=1e-15)
    assert distances[1, 1] == -2e-16
    distances[4, 4] = 0.01
    with pytest.raises(ValueError, match=r"zero on the diagonal, got up to 0\.01"):
        check_distances(distances)
