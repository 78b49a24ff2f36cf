"""Sphinx configuration: Markdown pages, and the API read from the docstrings."""

import re
from importlib.metadata import version as distribution_version
from typing import Any

from sphinx.application import Sphinx

project = "riemod"
author = "The riemod developers"
project_copyright = "2026, The riemod developers"
version = release = distribution_version("riemod")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
# A single backtick in a docstring means code, as in Markdown.
default_role = "code"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"exclude-members": "extra_repr"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Reference"]

html_theme = "furo"
html_title = f"riemod {release}"
html_static_path = ["_static"]

# Marks that docstrings use as mathematics and reStructuredText as markup: |w|, a * b, and a name's last underscore.
_MARKUP = re.compile(r"[|*]|_(?!\w)")


def plain_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape markup outside of code: docstrings are plain text, with code in single backticks and doctests."""
    if what in ("attribute", "property") and lines:
        # napoleon would take what stands before a colon for the type, unless the line ends there.
        lines[:1] = lines[0].replace(": ", ":\n", 1).split("\n")
    doctest = False
    for index, line in enumerate(lines):
        doctest = bool(line.strip()) and (doctest or line.lstrip().startswith(">>>"))
        if not doctest:
            parts = line.split("`")
            parts[::2] = [_MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
            lines[index] = "`".join(parts)


def setup(app: Sphinx) -> None:
    """Register the escape before napoleon reads the docstrings."""
    app.connect("autodoc-process-docstring", plain_text, priority=100)
