"""Draw the hidden matrices of docs/_static/blocks.png: one of single weights in two orders, and one of whole blocks.

Both runs are of navigation at 90 %, `cpu` preset: the arm "torus fixed" of suite `navigation`, and the arm "8x8 torus
geometric" of suite `blocks-navigation`. `riemod bench` leaves them in OUT/runs; the rows name their keys.

python -m benchmarks.figure_of_blocks SINGLE BLOCKS    # folders of the two runs
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from riemod.plotting import plot_weight_matrix
from riemod.sparse import block_occupancy, order_neurons
from riemod.training import RunFolder, load

FIGURE = Path(__file__).parents[1] / "docs" / "_static" / "blocks.png"


def draw(single: Path, blocks: Path, out: Path) -> None:
    """Draw one hidden matrix as its neurons are numbered and in geometric order, and one that lost whole blocks."""
    first, second = load(RunFolder(single)), load(RunFolder(blocks))
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    titles = ("single weights, random order", "single weights, geometric order", "8 x 8 blocks, geometric order")
    for run, title, ax in zip((first, first, second), titles, figure.subplots(1, 3), strict=True):
        weight = run.model.get_parameter("rnn.weight_hh_l0").detach()
        if "geometric" in title:
            assert run.moduli is not None
            order = order_neurons(run.moduli)
            weight = weight[order][:, order]
        plot_weight_matrix(weight, ax=ax)
        ax.set_title(f"{title}\n8 x 8 tiles with a weight: {block_occupancy(weight, 8):.0%}", fontsize=11)
    figure.savefig(out, dpi=130)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    draw(Path(sys.argv[1]), Path(sys.argv[2]), FIGURE)
