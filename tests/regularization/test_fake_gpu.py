"""Within an epoch no call waits for a GPU's numbers, and what is wrong with them there is said later, or by NaN."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils import backend_registration

from riemod import ModuliRegularizer
from riemod.manifolds import Sphere, Torus
from riemod.regularization.penalty import nan_unless
from tests.regularization.formulas import MANIFOLDS
from tests.regularization.test_processes import start
from tests.strategies import generator


@pytest.mark.skipif(
    not (torch.cuda.is_available() or hasattr(backend_registration, "_setup_privateuseone_for_python_backend")),
    reason="this torch needs a GPU to differentiate fake tensors of one",
)
def test_the_penalty_the_regularizer_evidence_and_masks_read_no_number_of_a_gpu():
    worker = start("tests.regularization.fake_gpu_worker")
    output, _ = worker.communicate(timeout=300)
    assert worker.returncode == 0, output


def test_a_fake_gpu_refuses_reads_and_tensors_of_two_devices():
    with FakeTensorMode():
        with pytest.raises(DataDependentOutputException):
            bool(torch.ones(2, device="cuda").any())
        with pytest.raises(RuntimeError, match="device"):
            torch.ones(2, device="cuda") + torch.ones(2)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_points_are_held_if_their_check_lets_them_pass(name):
    manifold = MANIFOLDS[name]()
    points = manifold.sample(50, generator=generator(0))
    assert bool(manifold.holds(points))
    for wrong in (torch.nan, 1e3):
        bad = points.clone()
        bad[17, -1] = wrong
        free = wrong == 1e3 and name == "euclidean"
        assert bool(manifold.holds(bad)) == free
        if not free:
            with pytest.raises(ValueError, match="row 17"):
                manifold.check_points(bad)


def test_a_value_of_points_that_are_off_is_nan_with_its_gradients():
    x = torch.ones(2, requires_grad=True)
    for held, expected in ((True, 2.0), (False, torch.nan)):
        value = nan_unless(torch.tensor(held), 2 * x.sum() / 2)
        (slope,) = torch.autograd.grad(value, x)
        torch.testing.assert_close(value.item(), expected, equal_nan=True)
        torch.testing.assert_close(slope, torch.full((2,), expected / 2), equal_nan=True)


@pytest.mark.parametrize("back", [True, False])
def test_points_that_leave_a_gpu_s_manifold_are_told_of_when_the_epoch_starts(back):
    moduli = ModuliRegularizer(nn.RNN(2, 8), Sphere(2), learn=True, generator=generator(0))
    embedding, watch = moduli.embeddings[0], moduli._watch
    watch._remember(embedding)
    moduli.start_epoch(0)
    with torch.no_grad():
        embedding.points[3] *= 2
        watch._remember(embedding)
        embedding.points[3] /= 2 if back else 1
    watch._remember(embedding)
    with pytest.raises(ValueError, match=r"riemannian_adam\(model, moduli\)"):
        moduli.start_epoch(1)
    embedding.points.data = Sphere(2).sample(8, generator=generator(1))
    moduli.start_epoch(2)


def test_nan_on_a_gpu_is_left_to_the_penalty():
    moduli = ModuliRegularizer(nn.RNN(2, 8), Torus(2), learn=True, generator=generator(0))
    with torch.no_grad():
        moduli.points[0] = torch.nan
    moduli._watch._remember(moduli.embeddings[0])
    moduli.start_epoch(0)
    assert moduli._watch._held == {}
