"""Sphinx configuration: Markdown pages, a gallery of examples that run, and the API read from the docstrings.

`sphinx-build -D plot_gallery=0` leaves the examples unrun, and builds in seconds.
"""

import re
from importlib.metadata import version as distribution_version
from typing import Any

from sphinx.application import Sphinx

project = "riemod"
author = "The riemod developers"
project_copyright = "2026, The riemod developers"
version = release = distribution_version("riemod")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    # Formulas are drawn without a network.
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build", "gallery", "auto_gallery/*.py.md5", "**.ipynb"]
# A single backtick in a docstring means code, as in Markdown.
default_role = "code"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# A parameter a line, where they do not fit into one.
python_maximum_signature_line_length = 88
# Python's own `bytes` in a signature is not one of the fields of that name.
suppress_warnings = ["ref.python"]
autodoc_default_options = {"exclude-members": "extra_repr"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Reference"]

html_theme = "pydata_sphinx_theme"
html_title = f"riemod {release}"
html_static_path = ["_static"]
html_css_files = ["riemod.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "riemod"},
    "navigation_with_keys": True,
    "show_prev_next": True,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
# Prompts of shells and of Python are not copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": "plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    # The page of times loads scripts from the network.
    "write_computation_times": False,
    "matplotlib_animations": False,
    "thumbnail_size": (400, 280),
}

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
