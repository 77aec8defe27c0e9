"""The electrode space: counts beside the paper's, metals by name, sodium arrangements."""

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.io.ase import AseAtomsAdaptor

from agent.arrangements import all_patterns
from agent.electrode_counts import (
    PAPER_COMPOUNDS,
    PAPER_METALS,
    compound_count,
    count_all,
    paper_convention,
)
from agent.electrodes import (
    ElectrodeSpace,
    compounds,
    decorated,
    metal_permutations,
    metals_of,
    mobile_arrangements,
    parse_metals,
)
from agent.hosts import load_host

HOST = load_host("nvpf")


@pytest.fixture(scope="module")
def space():
    return ElectrodeSpace(HOST)


@pytest.fixture(scope="module")
def counts(space):
    return {one.symmetry: one for one in count_all(space)}


def test_enumeration_and_burnside_agree_everywhere(counts):
    assert all(one.by_ratio == one.by_burnside for one in counts.values())


def test_the_exact_counts(counts):
    assert counts["bare host"].by_ratio == (1, 5, 5, 10, 5, 5, 1)
    assert counts["Na1"].by_ratio == counts["Na3"].by_ratio == (1, 7, 7, 14, 7, 7, 1)
    assert counts["Na2"].by_ratio == counts["Na4"].by_ratio == (1, 5, 5, 10, 5, 5, 1)
    assert counts["none"].structures(30) == 110_520
    assert counts["all contents"].structures(30) == 19_170


def test_compounds_each_once_and_as_the_paper_counts_them(counts):
    found = list(compounds(HOST))
    assert len(HOST.valences) == PAPER_METALS
    assert len(found) == len(set(found)) == compound_count(30, 8) == 3_075
    contents = [counts[f"Na{x}"] for x in (1, 2, 3, 4)]
    assert paper_convention(30, 8, contents) == (PAPER_COMPOUNDS, 87_000)


def test_arrangements_stand_for_all(space):
    metals = parse_metals(HOST, "Cu0.5Mo1.5")
    found = space.arrangements(metals)
    assert len(found) == 7
    assert sum(one.multiplicity for one in found) == all_patterns((2, 6))
    assert {one.symbols.count("Cu") for one in found} == {2}
    assert [one.name for one in found] == [f"Cu0.5Mo1.5#{i}" for i in range(7)]


@pytest.mark.parametrize("content", [1, 2])
def test_the_arrangements_are_different_structures(space, content):
    """pymatgen's StructureMatcher, which knows nothing of groups, finds as many classes as were counted."""
    arrangements = space.arrangements(parse_metals(HOST, "Cu0.5Mo1.5"))
    structures = [
        AseAtomsAdaptor.get_structure(decorated(space.templates[content], one.symbols)) for one in arrangements
    ]
    matcher = StructureMatcher(ltol=0.01, stol=0.05, angle_tol=0.1, primitive_cell=False, scale=False)
    groups = matcher.group_structures(structures)
    assert len(groups) == {1: 7, 2: 5}[content]


def test_templates(space):
    for content, atoms in space.templates.items():
        assert atoms.symbols.count("Na") == 4 * content
        assert (atoms.numbers > 0).all()
        assert (atoms.arrays["sublattice"] == "substituted").sum() == 8
    sodium = {
        content: {tuple(p) for p in atoms[atoms.symbols == "Na"].positions.round(3)}
        for content, atoms in space.templates.items()
    }
    assert sodium[1] < sodium[2] < sodium[3] < sodium[4]  # ions go in; none has to move


def test_equivalent_sodium_arrangements_have_equivalent_symmetry():
    lowest = mobile_arrangements(HOST, 12)
    assert len(lowest) == 2
    assert {len(metal_permutations(atoms)) for atoms in lowest} == {8}


def test_another_sodium_arrangement(space):
    other = ElectrodeSpace(HOST, (3, 4), ranks={3: 1})
    assert other.templates[3] != space.templates[3]
    with pytest.raises(ValueError, match="rank"):
        mobile_arrangements(HOST, 16, rank=1)
    with pytest.raises(ValueError, match="allowed"):
        ElectrodeSpace(HOST, (3, 4), ranks={2: 1})


def test_no_sodium_at_all():
    (empty,) = mobile_arrangements(HOST, 0)
    assert "Na" not in empty.get_chemical_symbols()


@pytest.mark.parametrize(
    ("text", "amounts"), [("V2", {"V": 8}), ("V", {"V": 8}), ("Mo1.25Au0.75", {"Au": 3, "Mo": 5})]
)
def test_metals_by_name(text, amounts):
    metals = parse_metals(HOST, text)
    assert dict(metals.amounts) == amounts
    assert parse_metals(HOST, metals.name(HOST)) == metals


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Xx2", "none of the metals"),
        ("Cl2", "none of the metals"),
        ("Cu0.3Mo1.7", "one site"),
        ("Cu1Mo0.5", "exactly"),
        ("Cu0V2", "at least one"),
        ("copper", "write metals"),
        ("", "write metals"),
    ],
)
def test_bad_metals(text, said):
    with pytest.raises(ValueError, match=said):
        parse_metals(HOST, text)


def test_an_unknown_metal_of_a_space():
    with pytest.raises(ValueError, match="'Ge' is none of the metals of nvpf; allowed: Ag Au"):
        list(compounds(HOST, ["V", "Ge"]))
    with pytest.raises(ValueError, match="fill the 8 V sites"):
        metals_of(HOST, {"V": 7})


@pytest.mark.parametrize("contents", [(3, 5), (-1, 3), (1.1, 2)])
def test_contents_that_do_not_fit(contents):
    with pytest.raises(ValueError, match=r"allowed are multiples of 0\.25 from 0 to 4"):
        ElectrodeSpace(HOST, contents)


def test_one_content_is_not_enough():
    with pytest.raises(ValueError, match="at least two"):
        ElectrodeSpace(HOST, (3, 3))
