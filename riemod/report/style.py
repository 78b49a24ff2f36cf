"""Colors of a page's figures: told apart by the color-blind, and readable on light and on dark ground.

Runs have the colors of Okabe and Ito, and each a mark of its own, so that no one needs the colors. Amounts are in
viridis and cividis, angles in twilight. Weights go from blue over gray to vermilion; 0 is blank.

Reference: Okabe and Ito, https://jfly.uni-koeln.de/color/
"""

from typing import Any, NamedTuple

__all__ = ["AMOUNT", "ANGLE", "MESH", "MOST_RUNS", "PLACE", "REFERENCE", "RUNS", "THEMES", "WEIGHT", "RunStyle"]


class RunStyle(NamedTuple):
    """Holds how the curves of a run are drawn."""

    color: str
    symbol: str
    """plotly's name of a mark."""
    sign: str
    """The same mark as a letter."""


# In this order the first four differ by 20 or more in CIELAB, and all by 16, to normal eyes and to each kind of
# color-blindness; green is near to blue without blue cones.
RUNS = (
    RunStyle("#0072B2", "circle", "●"),
    RunStyle("#D55E00", "square", "■"),
    RunStyle("#CC79A7", "triangle-up", "▲"),
    RunStyle("#56B4E9", "star", "★"),
    RunStyle("#E69F00", "triangle-down", "▼"),
    RunStyle("#009E73", "diamond", "◆"),
)
MOST_RUNS = len(RUNS)
REFERENCE, MESH = "#808080", "#9aa0a6"
AMOUNT, PLACE, ANGLE = "Viridis", "Cividis", "Twilight"
# Gray in the middle shows on both grounds.
WEIGHT = [[0.0, "#0072B2"], [0.5, "#b0b0b0"], [1.0, "#D55E00"]]


def _theme(ink: str, line: str, ground: str) -> dict[str, Any]:
    """Return a template of plotly for ink and thin lines on a ground."""
    axis = {"gridcolor": line, "linecolor": line, "zerolinecolor": line, "tickcolor": line, "automargin": True}
    axis["title"] = {"font": {"size": 12}, "standoff": 6}
    space = {"showbackground": False, "showticklabels": False, "title": {"text": ""}, "gridcolor": line} | {
        "zeroline": False,
        "showgrid": False,
        "showspikes": False,
    }
    return {
        "layout": {
            "font": {"color": ink, "family": "system-ui, sans-serif", "size": 13},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis,
            "yaxis": axis,
            "scene": {"xaxis": space, "yaxis": space, "zaxis": space},
            "hoverlabel": {"bgcolor": ground, "bordercolor": line, "font": {"color": ink}},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": REFERENCE, "activecolor": ink},
        }
    }


THEMES = {"light": _theme("#1b1f24", "#d5d9de", "#ffffff"), "dark": _theme("#e6e9ed", "#3b4149", "#1d2127")}
