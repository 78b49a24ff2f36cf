"""The masks that a run has from its first step on."""

import math

import torch
from torch import nn

from riemod.manifolds import Euclidean
from riemod.masks import apply_masks
from riemod.pruning import geometric_mask
from riemod.regularization import ModuliRegularizer, NeuronEmbedding
from riemod.regularization.weights import recurrent_weights
from riemod.tasks import RunConfig

# Their costs are all the same.
_FLAT_ARMS = ("none", "matched_l1")


def hidden_names(model: nn.Module) -> list[str]:
    """The qualified names of a model's hidden (recurrent) matrices, in module order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(target.tensor)] for target in recurrent_weights(model)]


def start_sparse(
    model: nn.Module, moduli: ModuliRegularizer | None, config: RunConfig, generator: torch.Generator
) -> None:
    """Mask every hidden matrix at the config's sparsity and temperature, by the costs of the run's regularizer.

    Args:
        model: changed in place; draw its weights afterwards.
        moduli: on the model's hidden matrices; without one, or where its costs are all the same, masks are uniform.
        config: of the run.
        generator: draws the masks, one layer after another; arms that differ in costs alone get the same noise.
    """
    masks = {}
    for layer, (name, target) in enumerate(zip(hidden_names(model), recurrent_weights(model), strict=True)):
        if moduli is None or config.arm in _FLAT_ARMS:
            # Neurons that are all in one place cost each other the same.
            place = NeuronEmbedding(Euclidean(1), target.neurons, learn=False, points=torch.zeros(target.neurons, 1))
            masks[name] = geometric_mask(place, config.sparsity, temperature=math.inf, generator=generator)
        else:
            masks[name] = geometric_mask(
                moduli, config.sparsity, layer=layer, temperature=config.temperature, generator=generator
            )
    apply_masks(model, masks)
