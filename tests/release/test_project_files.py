"""The files around the code agree with one another: versions, dependencies, the citation."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.release.distributions import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(line) for lines in (PROJECT["dependencies"], *EXTRAS.values()) for line in lines]


def pinned(name: str) -> dict[str, Version]:
    lines = (ROOT / name).read_text().splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(package): Version(version) for package, version in pins}


def test_the_newest_set_pins_every_dependency_within_its_range():
    pins = pinned("constraints.txt")
    for requirement in (entry for entry in REQUIREMENTS if entry.name != "riemod"):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_the_oldest_set_is_the_lower_bound_of_every_range():
    pins = pinned("constraints-oldest.txt")
    needed = PROJECT["dependencies"] + [line for name in EXTRAS if name not in ("dev", "docs") for line in EXTRAS[name]]
    expected = {}
    # An extra may name others of the project.
    for requirement in (entry for entry in map(Requirement, needed) if entry.name != "riemod"):
        (bound,) = (Version(entry.version) for entry in requirement.specifier if entry.operator == ">=")
        expected[canonicalize_name(requirement.name)] = bound
    assert {name: pins.get(name) for name in expected} == expected


def test_the_citation_is_that_of_this_version_and_of_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type"} <= set(citation)
    assert str(citation["version"]) == PROJECT["version"]
    paper = citation["preferred-citation"]
    assert paper["title"] in (ROOT / "README.md").read_text()
    assert PROJECT["urls"]["Paper"] == paper["url"]


def test_the_topmost_heading_of_the_changelog_is_this_version():
    heading = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert heading is not None
    assert heading[1] == PROJECT["version"]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "README.md"])
def test_links_between_the_pages_lead_somewhere(page: str):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text()):
        assert (ROOT / target).exists(), target
