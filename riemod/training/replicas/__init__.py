"""Training of many small runs of one task side by side, as one batched computation."""

from riemod.training.replicas.loop import check_replicas, train_replicas

__all__ = ["check_replicas", "train_replicas"]
