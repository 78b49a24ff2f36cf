"""How the pruned net runs: the order of its neurons."""

from riemod.sparse.order import block_occupancy, order_neurons, permute_neurons, reverse_cuthill_mckee

__all__ = ["block_occupancy", "order_neurons", "permute_neurons", "reverse_cuthill_mckee"]
