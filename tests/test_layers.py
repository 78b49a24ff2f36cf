"""Who may import whom: the table of docs/architecture.md, held against the source."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "riemod"
LONGEST_FILE = 400

TABLE = re.compile(r"^\| (?P<floor>\d+) \| (?P<rooms>`[^|]+) \| [^|]+ \| (?P<imports>[^|]+) \|$", re.MULTILINE)
ROWS = [
    (int(row["floor"]), re.findall(r"`(\w+)`", row["rooms"]), row["imports"])
    for row in TABLE.finditer((ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
]
FLOOR_OF = {room: floor for floor, rooms, _ in ROWS for room in rooms}


def may_import(floor: int, imports: str) -> set[str]:
    """What a room of the table may import besides itself."""
    ground = {room for room, other in FLOOR_OF.items() if other == 1}
    named = set(re.findall(r"`(\w+)`", imports))
    if named:
        return ground | named
    below = {room for room, other in FLOOR_OF.items() if other < floor}
    beside = {room for room, other in FLOOR_OF.items() if other == floor}
    return {
        "all below": below,
        "all below, and its floor": below | beside,
        "its floor": beside,
        "floor 1": ground,
    }[imports]


MAY_IMPORT = {room: may_import(floor, imports) for floor, rooms, imports in ROWS for room in rooms}
# riemod/__init__.py has the public names, and `python -m riemod` is the command.
MAY_IMPORT |= {"": set(FLOOR_OF), "__main__": set(FLOOR_OF)}

# Distributions that only some files may import: relative to riemod/, a folder covers all that is in it.
CONFINED = {
    "geomstats": {"manifolds/_geomstats.py"},
    "geoopt": {"manifolds/_geoopt.py"},
    "matplotlib": {"plotting"},
    "gudhi": {"topology"},
    "ripser": {"topology"},
    "sklearn": {"topology"},
    "pynwb": {"recordings/nwb.py"},
    "pynapple": set(),
    "plotly": {"report"},
    "jinja2": {"report"},
    "lightning": {"integrations/lightning.py"},
    "transformers": {"integrations/transformers.py"},
    "accelerate": set(),
    "distributed": {"suites/cluster.py"},
    "benchmarks": set(),
    "analysis": set(),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported_modules(name: str, source: str, *, package: bool = False) -> set[str]:
    """The modules that a source imports, anywhere in it, with `from package import module` resolved."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                parents = parts[: len(parts) - node.level + (1 if package else 0)]
                base = ".".join([*parents, node.module] if node.module else parents)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add(full if full in MODULES else base)
    return found


IMPORTS = {
    name: imported_modules(name, path.read_text(encoding="utf-8"), package=path.name == "__init__.py")
    for name, path in MODULES.items()
}


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def allowed_file(path: Path, places: set[str]) -> bool:
    relative = path.relative_to(PACKAGE)
    return relative.as_posix() in places or relative.parts[0].removesuffix(".py") in places


def test_the_table_was_read() -> None:
    assert len(ROWS) >= 19
    assert MAY_IMPORT["topology"] & {"manifolds", "tuning", "_checks"} == {"manifolds", "_checks"}
    assert "coactivity" not in MAY_IMPORT["regularization"]
    assert {"optim", "masks"} <= MAY_IMPORT["pruning"]


def test_the_source_was_read() -> None:
    assert "riemod.manifolds.base" in MODULES
    assert "riemod.manifolds.base" in IMPORTS["riemod.regularization.penalty"]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import riemod.optim as o", "riemod.optim"),
        ("from riemod.manifolds import base", "riemod.manifolds.base"),
        ("from riemod.manifolds.base import Manifold", "riemod.manifolds.base"),
        ("from riemod.manifolds import Torus", "riemod.manifolds"),
        ("def f():\n    from .base import Manifold", "riemod.manifolds.base"),
        ("from . import base", "riemod.manifolds.base"),
        ("from ..optim import riemannian_adam", "riemod.optim"),
        ("import matplotlib.pyplot", "matplotlib.pyplot"),
    ],
)
def test_imports_are_resolved(statement: str, expected: str) -> None:
    assert imported_modules("riemod.manifolds.torus", statement) == {expected}


def test_every_module_has_a_layer() -> None:
    unknown = {layer(name) for name in MODULES} - MAY_IMPORT.keys()
    assert not unknown, f"say in the table of docs/architecture.md where these stand: {sorted(unknown)}"


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name: str) -> None:
    allowed = MAY_IMPORT[layer(name)] | {layer(name)}
    inside = {module for module in IMPORTS[name] if module.split(".")[0] == "riemod"}
    wrong = {module for module in inside if layer(module) not in allowed or (module == "riemod" != name)}
    assert not wrong, f"{name} must not import {sorted(wrong)}"


@pytest.mark.parametrize("name", MODULES)
def test_heavy_libraries_stay_in_their_files(name: str) -> None:
    tops = {module.split(".")[0] for module in IMPORTS[name]}
    wrong = {top for top in tops & CONFINED.keys() if not allowed_file(MODULES[name], CONFINED[top])}
    assert not wrong, f"{name} must not import {sorted(wrong)}"


def test_no_import_cycles() -> None:
    state: dict[str, str] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert state.get(name) != "open", f"an import cycle: {' -> '.join((*trail, name))}"
        if name in state:
            return
        state[name] = "open"
        for module in sorted(IMPORTS[name] & MODULES.keys() - {name}):
            visit(module, (*trail, name))
        state[name] = "done"

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("name", MODULES)
def test_no_file_is_too_long(name: str) -> None:
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"{MODULES[name].name} has {lines} lines: split it"
