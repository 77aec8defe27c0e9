"""docs/ says nothing about files, names, arrows and pictures that is not so."""

import importlib
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.test_imports import FORBIDDEN, ROOT, imports, sources

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
SVG = "{http://www.w3.org/2000/svg}"
ROOMS = ElementTree.parse(ROOT / "docs" / "images" / "rooms.svg").getroot()
#: Pages that docs/hooks.py makes when the site is built; `make docs` looks after links to them.
GENERATED = set(re.findall(r'"([\w/-]+\.md)"', (ROOT / "docs" / "hooks.py").read_text(encoding="utf-8")))


def code_words(text):
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    for word in code_words(page.read_text(encoding="utf-8")):
        if re.fullmatch(r"(agent|calculators|models|flows|tests|docs|examples|benchmarks)/[\w./-]+", word):
            assert (ROOT / word).exists() or (page.parent / word).exists(), f"{page.name} names {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("http") and target not in GENERATED:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def resolve(dotted):
    """The object behind "package.module.Name.attribute"."""
    parts = dotted.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for name in parts[split:]:
            found = getattr(found, name)
        return found
    raise AttributeError(dotted)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_the_code_exist(page):
    from agent.ledger import Ledger

    for word in code_words(page.read_text(encoding="utf-8")):
        if re.fullmatch(r"(agent|calculators|models|flows)\.[\w.]+", word):
            assert resolve(word) is not None, f"{page.name} names {word}"
        elif match := re.fullmatch(r"Ledger\.(\w+)", word):
            assert hasattr(Ledger, match.group(1)), f"{page.name} names {word}"


def test_the_arrows_of_the_picture_are_the_imports():
    drawn = {(path.get("data-from"), path.get("data-to")) for path in ROOMS.iter(f"{SVG}path") if path.get("data-to")}
    real = {
        (package, module.split(".")[0])
        for package in FORBIDDEN
        for path in sources(package)
        for module, _ in imports(path)
        if module.split(".")[0] in FORBIDDEN and module.split(".")[0] != package
    }
    assert drawn == real


def test_the_files_of_the_picture_exist():
    rooms = {room.get("id"): "\n".join(room.itertext()) for room in ROOMS.findall(f"{SVG}g")}
    assert set(rooms) == set(FORBIDDEN)
    for room, inside in rooms.items():
        assert room in inside, "a room says its name"
        files = re.findall(r"\w+\.py", inside)
        assert files
        for name in files:
            assert (ROOT / room / name).exists(), f"{room}/{name}"


def test_the_picture_is_shown():
    assert "](images/rooms.svg)" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_pictures_are_small():
    for picture in (ROOT / "docs" / "images").glob("*.png"):
        assert picture.stat().st_size < 300_000, picture.name


def test_the_citation_is_valid_yaml_with_the_papers():
    import yaml

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {reference["doi"] for reference in cited["references"]} >= {
        "10.1016/j.matt.2025.102380",
        "10.1038/s41524-026-02041-w",
        "10.1002/batt.202400186",
        "10.1039/d5ee06594a",
    }
    assert Path(ROOT / "LICENSE").read_text(encoding="utf-8").startswith(f"{cited['license']} License")
