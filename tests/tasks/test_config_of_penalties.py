"""What a run's configuration makes of the penalty: parameters of the inhibitor, and arms that are matched."""

import dataclasses
from typing import Any

import pytest
import torch

from riemod.regularization import ModuliRegularizer, inhibitors
from riemod.tasks import Navigation, NavigationConfig
from riemod.tasks.config import Regularization


def config(**changes: Any) -> NavigationConfig:
    smoke = Navigation.presets["smoke"]
    assert isinstance(smoke, NavigationConfig)
    return smoke.replace(**changes)


def test_an_inhibitor_takes_its_parameters_from_the_config():
    changed = config(manifold="torus", inhibitor="diffusion", inhibitor_exponent=2.0, inhibitor_amplitude=3.0)
    moduli = changed.regularization.build(torch.nn.RNN(2, 8), torch.Generator().manual_seed(0))
    assert moduli is not None
    assert moduli.inhibitor == inhibitors.Diffusion(amplitude=3.0, exponent=2.0)
    plain = config(manifold="torus").regularization.build(torch.nn.RNN(2, 8), torch.Generator().manual_seed(0))
    assert plain is not None
    assert plain.inhibitor == inhibitors.DifferenceOfGaussians()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"inhibitor_frequency": 2.0},
            "parameters of inhibitor 'dog' must be amplitude, narrow, wide, floor, got 'freq",
        ),
        ({"inhibitor": "sinusoid", "inhibitor_frequency": -1.0}, "frequency must be positive and finite, got -1.0"),
        ({"inhibitor": "ricker", "inhibitor_width": "2"}, "inhibitor_width must be of type float or None, got '2'"),
        ({"law": "signed", "inhibitor_floor": 1.0}, "inhibitor_floor must be None with law='signed'"),
    ],
)
def test_parameters_that_the_inhibitor_does_not_take_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises((ValueError, TypeError), match=message):
        config(manifold="torus", **changes)


@pytest.mark.parametrize("manifold", ["circle", "torus6", "euclidean3"])
def test_arms_can_be_matched_in_mean_coefficient_and_share_of_cheap_pairs(manifold: str):
    def built(**changes: Any) -> ModuliRegularizer:
        matched = config(manifold=manifold, strength=0.5, mean_cost=66.0, cheap_share=0.138, **changes)
        moduli = matched.regularization.build(torch.nn.RNN(2, 300), torch.Generator().manual_seed(0))
        assert moduli is not None
        return moduli

    moduli = built()
    costs = moduli.coefficients()
    assert moduli.strength * costs.mean().item() == pytest.approx(0.5 * 66.0, rel=1e-5)
    apart = ~torch.eye(300, dtype=torch.bool)
    assert (costs[apart] < costs.max() / 2).double().mean().item() == pytest.approx(0.138, abs=0.015)
    for arm in ("matched_l1", "shuffled"):
        control = built(arm=arm)
        assert control.strength == pytest.approx(moduli.strength, rel=1e-5)
    assert built(arm="none").strength == 0.5
    learned = built(learn=True)
    assert learned.strength == pytest.approx(moduli.strength)


def test_the_signed_law_is_matched_in_the_mean_over_both_signs():
    matched = config(manifold="torus", law="signed", strength=0.5, mean_cost=66.0)
    moduli = matched.regularization.build(torch.nn.RNN(2, 300), torch.Generator().manual_seed(0))
    assert moduli is not None
    mean = (moduli.coefficients(sign=1).mean() + moduli.coefficients(sign=-1).mean()) / 2
    assert moduli.strength * mean.item() == pytest.approx(0.5 * 66.0, rel=1e-5)


@pytest.mark.parametrize(("name", "value"), [("mean_cost", 0.0), ("cheap_share", 1.0)])
def test_what_cannot_be_matched_is_named(name: str, value: float):
    with pytest.raises(ValueError, match=f"{name} must be "):
        config(manifold="torus", **{name: value})
    with pytest.raises(ValueError, match="cheap_share must be None with law='signed'"):
        config(manifold="torus", law="signed", cheap_share=0.1)


def test_every_parameter_of_every_inhibitor_can_be_configured():
    known = {field.name for kind in inhibitors.BY_NAME.values() for field in dataclasses.fields(kind)}
    own = {field.name.removeprefix("inhibitor_") for field in dataclasses.fields(Regularization)}
    assert known <= own
