"""The inhibitors of Eq. 6: their formulas, slopes, parameters, and which of them collapse learned points."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod import inhibitors
from riemod.manifolds import Torus
from riemod.regularization import ModuliRegularizer
from riemod.regularization.inhibitors import as_inhibitor, by_name
from tests.regularization.formulas import EVERY, SMOOTH, eq8_floor

GRID = torch.linspace(0.0, 20.0, 4001, dtype=torch.float64)
positive = st.floats(min_value=0.05, max_value=50.0)


def test_difference_of_gaussians_is_the_reference_s():
    squared = GRID**2
    reference = 81.1 - 100 * (torch.exp(-squared / 5) - torch.exp(-4 * squared))
    f = inhibitors.DifferenceOfGaussians()
    values = f(GRID)
    # The reference's offset is the largest value of a sample, 81.1; the maximum itself is 81.14.
    torch.testing.assert_close(values, reference, rtol=0, atol=0.05)
    assert f.peak == pytest.approx(0.811425, abs=1e-6)
    assert values[0].item() == pytest.approx(81.1, abs=0.05)
    assert values[-1].item() == pytest.approx(81.1, abs=0.05)
    assert GRID[values.argmin()].item() == pytest.approx(0.888, abs=0.005)
    assert f.cheapest_distance == pytest.approx(0.888, abs=5e-4)
    assert f(torch.tensor(f.cheapest_distance, dtype=torch.float64)).item() == pytest.approx(0, abs=1e-12)


@given(amplitude=positive, narrow=st.floats(0.05, 3.0), ratio=st.floats(1.01, 50.0))
def test_difference_of_gaussians_is_eq_8_at_its_floor(amplitude, narrow, ratio):
    wide = narrow * ratio
    plain = inhibitors.DifferenceOfGaussians(amplitude, narrow, wide)
    f = inhibitors.DifferenceOfGaussians(amplitude, narrow, wide, floor=eq8_floor(plain))
    squared = GRID**2
    eq8 = amplitude - amplitude * (torch.exp(-squared / wide) - torch.exp(-squared / narrow))
    torch.testing.assert_close(f(GRID), eq8, rtol=1e-12, atol=1e-12 * amplitude)
    assert f.floor == pytest.approx(amplitude * (1 - plain.peak), rel=1e-9)
    assert plain(GRID).min().item() >= -1e-13 * amplitude
    assert plain(torch.tensor(plain.cheapest_distance, dtype=torch.float64)).item() == pytest.approx(
        0, abs=1e-13 * amplitude
    )


@pytest.mark.parametrize(
    ("inhibitor", "formula"),
    [
        (inhibitors.Ricker(7.0, 2.0), lambda d: 7 - 7 * (1 - d**2 / 2) * math.exp(-(d**2) / 4)),
        (inhibitors.Gaussian(3.0, 2.0), lambda d: 3 - 3 * math.exp(-(d**2) / 2)),
        (inhibitors.Crowding(3.0, 2.0, 0.5), lambda d: 0.5 + 3 * math.exp(-(d**2) / 2)),
        (inhibitors.Negated(inhibitors.Crowding(3.0, 2.0)), lambda d: -3 * math.exp(-(d**2) / 2)),
        (inhibitors.Diffusion(2.0, 1.5), lambda d: 2 * d**1.5),
        (inhibitors.Diffusion(2.0, 3.0), lambda d: 2 * d**3),
        (inhibitors.Sinusoid(4.0, 0.7), lambda d: 4 + 4 * math.cos(0.7 * d)),
        (inhibitors.IndRNN(9.0), lambda d: 9.0 if d > 0 else 0.0),
        (inhibitors.Custom(lambda d: 1 + d), lambda d: 1 + d),
    ],
)
def test_values_are_the_formula_s(inhibitor, formula):
    expected = torch.tensor([formula(d) for d in GRID.tolist()], dtype=torch.float64)
    torch.testing.assert_close(inhibitor(GRID), expected, rtol=1e-12, atol=1e-12)


def test_ricker_is_dearest_at_root_three_widths():
    f = inhibitors.Ricker(amplitude=1.0, width=4.0)
    assert GRID[f(GRID).argmax()].item() == pytest.approx(math.sqrt(3 * 4.0), abs=0.005)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_squared_distance_agrees_with_distance(name, dtype):
    f, distance = EVERY[name], GRID.to(dtype).reshape(-1, 1)
    values = f(distance)
    assert values.dtype == dtype
    assert values.shape == distance.shape
    tolerance = 100 * torch.finfo(dtype).eps
    torch.testing.assert_close(values, f.of_squared_distance(distance * distance), rtol=tolerance, atol=tolerance)
    # Nothing below 0 but the rounding of one subtraction of numbers of the size of the amplitude.
    assert values.min().item() >= -200 * torch.finfo(dtype).eps


@pytest.mark.parametrize("name", EVERY)
def test_slopes_are_finite_at_zero(name):
    for dtype in (torch.float32, torch.float64):
        squared = torch.tensor([0.0, 1e-30, 1e-6], dtype=dtype, requires_grad=True)
        (slope,) = torch.autograd.grad(EVERY[name].of_squared_distance(squared).sum(), squared)
        assert slope[0].isfinite()
        distance = torch.zeros(1, dtype=dtype, requires_grad=True)
        (slope,) = torch.autograd.grad(EVERY[name](distance).sum(), distance)
        assert slope.isfinite().all()


@pytest.mark.parametrize("name", EVERY)
@given(distance=st.floats(min_value=0.05, max_value=8.0))
def test_slopes_are_finite_differences(name, distance):
    f, step = EVERY[name], 1e-5
    d = torch.tensor(distance, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(f(d), d)
    with torch.no_grad():
        difference = (f(d + step) - f(d - step)) / (2 * step)
    torch.testing.assert_close(slope, difference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SMOOTH)
def test_nan_stays_nan(name):
    assert SMOOTH[name](torch.tensor([1.0, math.nan])).isnan().tolist() == [False, True]
    assert inhibitors.IndRNN()(torch.tensor([math.nan])).isnan().all()


KINDS = {
    inhibitors.DifferenceOfGaussians: ("amplitude", "narrow", "wide"),
    inhibitors.Ricker: ("amplitude", "width"),
    inhibitors.Gaussian: ("amplitude", "width"),
    inhibitors.Diffusion: ("amplitude", "exponent"),
    inhibitors.Sinusoid: ("amplitude", "frequency"),
    inhibitors.IndRNN: ("cost",),
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in KINDS.items() for name in names])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, -math.inf, "1", None])
def test_a_bad_parameter_is_named(kind, name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*, got"):
        kind(**{name: value})


@pytest.mark.parametrize("floor", [-1e-9, math.nan, math.inf, "0", None])
def test_a_bad_floor_is_named(floor):
    with pytest.raises(ValueError, match="floor must be finite and >= 0, got"):
        inhibitors.DifferenceOfGaussians(floor=floor)


@pytest.mark.parametrize(("narrow", "wide"), [(5.0, 0.25), (1.0, 1.0)])
def test_the_wide_gaussian_must_be_wider(narrow, wide):
    with pytest.raises(ValueError, match=r"wide must exceed narrow \(s2 > s1\)"):
        inhibitors.DifferenceOfGaussians(narrow=narrow, wide=wide)


def test_a_diffusion_below_the_first_power_is_refused():
    with pytest.raises(ValueError, match=r"exponent must be finite and >= 1, got 0\.5"):
        inhibitors.Diffusion(exponent=0.5)


def test_inhibitors_are_frozen():
    for f in EVERY.values():
        with pytest.raises(AttributeError):
            f.amplitude = 2.0


COLLAPSING = ("gaussian", "diffusion", "cubic diffusion", "indrnn")


@pytest.mark.parametrize("name", EVERY)
def test_collapses_says_whether_it_may_be_learned_with(name):
    assert EVERY[name].collapses is (name in COLLAPSING)
    # What it stands for: f never falls with distance.
    assert EVERY[name].collapses is bool((EVERY[name](GRID[::10]).diff() >= 0).all())


@pytest.mark.parametrize("name", EVERY)
def test_learning_with_a_collapsing_inhibitor_needs_permission(name):
    layer, torus = torch.nn.RNN(2, 4), Torus(2)
    assert not ModuliRegularizer(layer, torus, inhibitor=EVERY[name], learn=False).learn
    if name in COLLAPSING:
        with pytest.raises(ValueError, match=r"inhibitor .* collapses learned points.*allow_collapse=True"):
            ModuliRegularizer(layer, torus, inhibitor=EVERY[name], learn=True)
    allowed = ModuliRegularizer(layer, torus, inhibitor=EVERY[name], learn=True, allow_collapse=name in COLLAPSING)
    assert allowed.learn


def test_a_collapsing_inhibitor_does_run_points_together():
    """What the permission is about: under the Gaussian the cloud shrinks, the difference of Gaussians spaces it out."""
    spreads = []
    for f in (inhibitors.Gaussian(width=50.0), inhibitors.DifferenceOfGaussians()):
        # From a third of the torus: seeds 0 to 5 give 0.016 to 0.030, and 0.853 to 0.893 around the cheapest distance.
        torch.manual_seed(3)
        start = 2 * torch.rand(12, 2)
        moduli = ModuliRegularizer(
            torch.nn.RNN(2, 12),
            Torus(2, period=6.0),
            inhibitor=f,
            learn=True,
            points=start,
            allow_collapse=True,
            reduction="sum",
        )
        embedding = moduli.layer_embeddings(0)[0]
        optimizer = torch.optim.SGD([moduli.points], lr=0.01)
        for _ in range(300):
            optimizer.zero_grad()
            moduli().backward()
            optimizer.step()
            with torch.no_grad():
                moduli.points.copy_(embedding.manifold.geometry.projx(moduli.points))
        spreads.append(embedding.distances().mean().item())
    assert spreads[0] < 0.2
    assert spreads[1] > 0.888


@pytest.mark.parametrize(
    ("function", "collapses"),
    [
        (lambda d: d, True),
        (torch.exp, True),
        (lambda d: torch.ones_like(d), True),
        (lambda d: 1 - torch.exp(-(d**2) / 5) + torch.exp(-4 * d**2), False),
        (lambda d: 1 / (1 + d), False),
        (lambda d: 1 + torch.cos(d), False),
    ],
)
def test_a_bare_callable_is_judged_by_its_values(function, collapses):
    assert as_inhibitor(function).collapses is collapses
    assert inhibitors.Custom(function, learnable=collapses).collapses is not collapses


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda d: 1 - d, ValueError, "function must be finite and >= 0"),
        (lambda d: d * math.nan, ValueError, "function must be finite and >= 0"),
        (lambda d: 1 / d, ValueError, "function must be finite and >= 0"),
        (lambda d: d.sum(), ValueError, r"function must keep the shape \(401,\), got \(\)"),
        (lambda d: d[:, None], ValueError, r"function must keep the shape \(401,\), got \(401, 1\)"),
        (lambda d: 1.0, TypeError, "function must return a tensor, got float"),
        (3.0, TypeError, "function must map a tensor of distances to a tensor, got 3.0"),
        (None, TypeError, "function must map a tensor of distances to a tensor, got None"),
        (inhibitors.Ricker, TypeError, "inhibitor must be an instance, got the class Ricker"),
    ],
)
def test_a_bad_callable_is_refused(function, error, message):
    with pytest.raises(error, match=message):
        as_inhibitor(function)


def test_a_callable_may_work_in_place():
    assert as_inhibitor(lambda d: d.mul_(0)).collapses
    # The distances that it was probed with are whole for the next one.
    assert not as_inhibitor(lambda d: 1 / (1 + d)).collapses


def test_a_scaled_law_is_the_law_in_another_unit():
    dog = inhibitors.DifferenceOfGaussians()
    law = inhibitors.Scaled(dog, 2.0)
    torch.testing.assert_close(law(GRID), dog(2 * GRID))
    assert not law.collapses
    assert inhibitors.Scaled(inhibitors.Gaussian(), 2.0).collapses


def test_bad_arguments_of_a_scaled_law_are_refused():
    for factor in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"factor must be positive and finite, got {factor}"):
            inhibitors.Scaled(inhibitors.Gaussian(), factor)
    with pytest.raises(TypeError, match="inhibitor must be an Inhibitor, got function"):
        inhibitors.Scaled(lambda d: d, 1.0)


def test_by_name_lists_the_names():
    assert by_name("dog") == inhibitors.DifferenceOfGaussians()
    with pytest.raises(ValueError, match=r"inhibitor must be one of dog, ricker, .*, got 'cat'"):
        by_name("cat")


@given(st.sampled_from(sorted(inhibitors.BY_NAME)), st.data())
def test_by_name_takes_the_parameters_of_the_inhibitor_alone(name: str, data: st.DataObject):
    kind = inhibitors.BY_NAME[name]
    own = {field.name: field.default for field in dataclasses.fields(kind)}
    chosen = data.draw(st.sampled_from(sorted(own)))
    assert by_name(name, **{chosen: own[chosen]}) == by_name(name) == kind()
    with pytest.raises(ValueError, match=f"parameters of inhibitor '{name}' must be {', '.join(own)}, got 'phase'"):
        by_name(name, phase=1.0)


def test_by_name_reaches_the_laws_of_the_paper_s_code():
    d = torch.tensor([0.0, 1.5, 4.0], dtype=torch.float64)
    torch.testing.assert_close(by_name("diffusion", exponent=2.0)(d), d**2)
    torch.testing.assert_close(by_name("sinusoid", amplitude=10.0, frequency=2.0)(d), 10 + 10 * torch.cos(2 * d))
