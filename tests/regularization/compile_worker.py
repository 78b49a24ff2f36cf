"""Run by test_processes.py: the loss compiled, and a compiled step of training, against the plain ones."""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from riemod.optim import riemannian_adam
from tests.regularization.every_kind import Trained, eager, gradients, inputs


def trained(wrap: Callable) -> Trained:
    model = Trained()
    optimizer = riemannian_adam(model, model.moduli, lr=1e-2)

    def step(x: Tensor) -> Tensor:
        loss = (model.predict(x) - 1).square().mean() + model.moduli()
        loss.backward()
        return loss

    run = wrap(step)
    for seed in range(3):
        optimizer.zero_grad()
        run(inputs(seed))
        optimizer.step()
    return model


def main(backend: str) -> None:
    model = Trained()
    expected = eager(model, inputs())
    model.zero_grad()
    value = torch.compile(model, backend=backend)(inputs())
    value.backward()
    torch.testing.assert_close(value, model(inputs()))
    torch.testing.assert_close(gradients(model), expected)
    # The model's forward compiled, the penalty outside.
    model.zero_grad()
    predicted = torch.compile(model.predict, backend=backend)(inputs())
    ((predicted - 1).square().mean() + model.moduli()).backward()
    torch.testing.assert_close(gradients(model), expected)
    plain, compiled = trained(lambda step: step), trained(lambda step: torch.compile(step, backend=backend))
    torch.testing.assert_close(dict(compiled.named_parameters()), dict(plain.named_parameters()))
    assert not torch.equal(plain.moduli.embeddings[0].points, Trained().moduli.embeddings[0].points)


if __name__ == "__main__":
    main(sys.argv[1])
