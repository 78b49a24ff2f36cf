"""What a user installs: the wheel in an empty environment, and what wheel and sdist hold."""

import json
import re
import subprocess
import tomllib
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.release.distributions import ROOT, TRIAL, build, files_of_sdist, files_of_wheel, install, run

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(tmp_path_factory.mktemp("dist"))


def tracked(*folders: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.splitlines() if (ROOT / name).is_file()}


def test_the_wheel_works_in_an_empty_environment(built: tuple[Path, Path], tmp_path: Path):
    folder = tmp_path / "environment"
    programs = install(built[0], folder)
    assert run(programs / "riemod", "--version", folder=tmp_path) == f"riemod {PROJECT['version']}\n"
    place = Path(run(programs / "python", "-W", "error", "-c", TRIAL, folder=tmp_path).strip())
    assert place.is_relative_to(folder)
    presets = json.loads(run(programs / "riemod", "presets", "adding", "--json", folder=tmp_path))
    assert [entry["preset"] for entry in presets] == ["smoke", "cpu", "paper"]
    small = ["--preset", "smoke", "--epochs", "3", "--batches-per-epoch", "2", "--quiet", "--out", "run"]
    run(programs / "riemod", "train", "adding", *small, folder=tmp_path)
    assert "rmse" in json.loads((tmp_path / "run" / "record.json").read_text())["metrics"]


def test_the_wheel_holds_the_library_alone(built: tuple[Path, Path]):
    files = files_of_wheel(built[0])
    library = {name for name in files if not name.split("/")[0].endswith(".dist-info")}
    assert library == tracked("riemod")
    assert "riemod/py.typed" in library
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in files)


def test_the_sdist_holds_the_sources_and_no_records(built: tuple[Path, Path]):
    files = files_of_sdist(built[1])
    expected = tracked("riemod", "tests", "analysis", "benchmarks", "docs")
    assert {name for name in expected if "/records/" not in name} <= files
    assert not [name for name in files if "/records/" in name]
    pages = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", "LICENSE", "Makefile")
    assert set(pages) | {"constraints.txt", "constraints-oldest.txt"} <= files


def test_the_metadata_says_what_an_index_shows(built: tuple[Path, Path]):
    with ZipFile(built[0]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    assert dict(url.split(", ") for url in metadata.get_all("Project-URL")) == PROJECT["urls"]
    assert {"topology", "lightning", "transformers", "tensorboard"} <= set(metadata.get_all("Provides-Extra"))
    assert metadata.get_payload().startswith("# riemod")
    assert re.match(r"\d+\.\d+\.\d+$", metadata["Version"])
