"""Every example of the gallery has a title and a figure, uses public names alone, and runs by itself."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import riemod

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
EXAMPLES = sorted(GALLERY.glob("plot_*.py"))
# What an example needs beside riemod, by the name that it imports.
EXTRAS = {"lightning": "lightning", "onnxruntime": "onnx", "sklearn": "topology", "riemod.topology": "topology"}
# Runs the script at argv[1] and checks what it leaves: open figures, each with something drawn that can be saved.
HARNESS = """
import io, runpy, sys
import matplotlib.pyplot as plt

runpy.run_path(sys.argv[1], run_name="__main__")
assert plt.get_fignums(), "no figure is open at the end"
for number in plt.get_fignums():
    figure = plt.figure(number)
    assert all(ax.has_data() or ax.images or ax.collections for ax in figure.axes), "axes without anything drawn"
    figure.savefig(io.BytesIO(), format="png")
"""


def tree(example: Path) -> ast.Module:
    return ast.parse(example.read_text(encoding="utf-8"))


def imported(example: Path) -> list[str]:
    """Every name that an example imports, with its module: `riemod.manifolds`, `riemod.topology.ModuliRecovery`."""
    found = []
    for node in ast.walk(tree(example)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def test_there_are_at_least_thirteen():
    assert len(EXAMPLES) >= 13
    assert (GALLERY / "GALLERY_HEADER.rst").is_file()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_begins_with_a_title_and_ends_with_a_figure(example):
    parsed = tree(example)
    first, underline, blank, *story = (ast.get_docstring(parsed) or "").splitlines()
    assert underline == "=" * len(first)
    assert blank == ""
    assert len(" ".join(story)) > 200
    assert ast.unparse(parsed.body[-1]) == "plt.show()"
    assert example.read_text(encoding="utf-8").count("\n# %%\n") >= 3


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_names_the_extras_that_it_needs(example):
    doc = ast.get_docstring(tree(example)) or ""
    for library, extra in EXTRAS.items():
        if any(name == library or name.startswith(f"{library}.") for name in imported(example)):
            assert f"``{extra}``" in doc, f"{example.name} needs the extra {extra} for {library}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_imports_public_names_alone(example):
    ours = [name for name in imported(example) if name.split(".")[0] == "riemod"]
    assert ours
    for name in ours:
        assert not re.search(r"\._", name), name
        _, *parts = name.split(".")
        if parts and parts[0] != "integrations":  # whose modules need a library each
            assert parts[0] in riemod.__all__, name
            room = getattr(riemod, parts[0])
            for part in parts[1:2]:  # a public name of the room, or a module with public names
                assert part in getattr(room, "__all__", dir(room)) or getattr(room, part).__all__, name
    for node in ast.walk(tree(example)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "riemod":
            assert node.attr in riemod.__all__, f"riemod.{node.attr}"
        if isinstance(node, ast.FunctionDef) and node.name.startswith("_"):
            assert node.name.endswith("__"), f"{example.name} overrides what is not public, {node.name}"


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs(example, tmp_path):
    for library in EXTRAS:
        if library != "riemod.topology" and any(name.split(".")[0] == library for name in imported(example)):
            pytest.importorskip(library)
    if any(name.startswith("riemod.topology") for name in imported(example)):
        pytest.importorskip("ripser")
        pytest.importorskip("gudhi")
    path = os.pathsep.join([str(GALLERY.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", HARNESS, str(example)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
