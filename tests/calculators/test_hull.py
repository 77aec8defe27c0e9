"""E_hull: the reference structures, the hull against linear programming, CHGNet on small cells, and bad input."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry import get_distances
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monty.json import MontyEncoder
from pymatgen.core import Composition
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.optimize import linprog

from calculators.failures import CalculationFailed
from calculators.hull import (
    Energies,
    HullSettings,
    RelaxedEnergy,
    above_hull,
    check_elements,
    e_hull,
    relax_phases,
)
from calculators.label import FailureKind, Structure
from calculators.phases import (
    KEY_VARIABLE,
    MaterialsProject,
    Phase,
    Shipped,
    isostructural,
    open_reference,
)

pytestmark = pytest.mark.filterwarnings("ignore:logm result may be inaccurate")  # ASE's cell filter, at 1e-13

#: The 33 dopants that the funnel of the NASICON space leaves, and what the hosts bring.
DOPANTS = [
    *(
        "Mg",
        "Ca",
        "Sr",
        "Al",
        "Ga",
        "In",
        "Ge",
        "Sn",
        "Sb",
        "Bi",
        "Sc",
        "Y",
        "La",
        "Ce",
        "Nd",
        "Sm",
        "Gd",
        "Dy",
        "Er",
    ),
    *("Yb", "Lu", "Ti", "Hf", "V", "Nb", "Ta", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn"),
]
EVERYTHING = frozenset([*DOPANTS, "Na", "Li", "Zr", "Si", "P", "O"])


@pytest.fixture(scope="module")
def phases() -> dict[str, Phase]:
    return {phase.name: phase for phase in Shipped().phases(EVERYTHING)}


def neighbours(atoms: Atoms, symbol: str, reach_A: float) -> list[int]:
    """Oxygen atoms within reach of each atom of an element."""
    from ase.neighborlist import neighbor_list

    i, j = neighbor_list("ij", atoms, reach_A)
    found = Counter(i[atoms.numbers[j] == 8].tolist())
    return [found[index] for index in np.flatnonzero(atoms.symbols == symbol)]


# --- the shipped structures ------------------------------------------------------------------------------------


def test_every_dopant_has_an_oxide_and_names_are_unique(phases):
    assert len(phases) == len(Shipped().phases(EVERYTHING))
    for element in [*DOPANTS, "Na", "Li", "Zr", "Si", "P"]:
        assert Shipped().phases(frozenset([element, "O"])), element
        assert [p for p in phases.values() if element in p.elements and len(p.elements) > 2], element


def test_every_phase_has_its_source_and_can_be_neutral(phases):
    mixed = set()
    for phase in phases.values():
        assert phase.source
        assert phase.name.startswith(phase.formula)
        if not Composition(phase.formula).oxi_state_guesses(max_sites=-1):
            mixed.add(phase.formula)
    assert mixed == {"BiO2", "SbO2", "Na2O2"}  # two mixed valences and a peroxide


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Al2O3 corundum", 167),
        ("TiO2 rutile", 136),
        ("CeO2 fluorite", 225),
        ("ZrO2 baddeleyite", 14),
        ("ZrSiO4 I4_1/amd", 141),
        ("AlPO4 berlinite", 152),
        ("LaPO4 monazite", 14),
        ("NaAl(SiO3)2 jadeite", 15),
        ("Mg2SiO4 olivine", 62),
        ("ZrP2O7 cubic", 205),
        ("NbPO5 tetragonal", 85),
        ("Y2Ti2O7 pyrochlore", 227),
        ("MgTa2O6 trirutile", 136),
        ("NaZr2(PO4)3 NASICON", 167),
        ("Na4Zr2(SiO4)3 NASICON", 167),
        ("Gd2Zr2O7 pyrochlore", 227),
        ("Sc2O3 bixbyite", 206),
        ("NaSc(SiO3)2 jadeite", 15),
    ],
)
def test_space_groups(phases, name, number):
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    structure = AseAtomsAdaptor.get_structure(phases[name].atoms)
    assert SpacegroupAnalyzer(structure, symprec=0.01).get_space_group_number() == number


@pytest.mark.parametrize(
    ("name", "symbol", "reach_A", "coordination"),
    [
        ("ZrO2 baddeleyite", "Zr", 2.6, {7}),
        ("CeO2 fluorite", "Ce", 2.6, {8}),
        ("ZrSiO4 I4_1/amd", "Zr", 2.6, {8}),
        ("Al2O3 corundum", "Al", 2.2, {6}),
        ("TiO2 rutile", "Ti", 2.2, {6}),
        ("Y2O3 bixbyite", "Y", 2.6, {6}),
        ("NbPO5 tetragonal", "Nb", 2.4, {6}),
        ("ZrP2O7 cubic", "Zr", 2.4, {6}),
        ("NaZr2(PO4)3 NASICON", "Zr", 2.4, {6}),
        ("Y2Ti2O7 pyrochlore", "Ti", 2.3, {6}),
        ("MgTa2O6 trirutile", "Ta", 2.3, {6}),
    ],
)
def test_coordination(phases, name, symbol, reach_A, coordination):
    assert set(neighbours(phases[name].atoms, symbol, reach_A)) == coordination


def test_phosphorus_and_silicon_sit_in_tetrahedra(phases):
    for phase in phases.values():
        if "in the type of" in phase.source:
            continue
        for symbol, reach_A in (("P", 1.8), ("Si", 1.85)):
            if symbol in phase.elements:
                assert set(neighbours(phase.atoms, symbol, reach_A)) == {4}, phase.name


def test_sodium_has_room(phases):
    """A cell typed in too small once put Na3PO4 0.36 eV/atom too high: Na and O are never nearer than 2.05 Å."""
    for phase in phases.values():
        if "Na" not in phase.elements or "in the type of" in phase.source:
            continue
        sodium, oxygen = (np.flatnonzero(phase.atoms.symbols == symbol) for symbol in ("Na", "O"))
        _, distances = get_distances(
            phase.atoms.positions[sodium], phase.atoms.positions[oxygen], cell=phase.atoms.cell, pbc=True
        )
        assert distances.min() > 2.05, (phase.name, distances.min())


def test_no_atoms_lie_on_top_of_each_other(phases):
    for phase in phases.values():
        _, distances = get_distances(phase.atoms.positions, cell=phase.atoms.cell, pbc=True)
        np.fill_diagonal(distances, 9.0)
        assert distances.min() > 1.3, phase.name


def test_other_elements_in_a_type_keep_its_positions():
    parent = bulk("MgO", "rocksalt", a=4.2)
    made = isostructural(parent, {"Mg": "Ni", "volume": 0.9})
    assert made.get_chemical_symbols() == ["Ni", "O"]
    assert made.get_volume() == pytest.approx(0.9 * parent.get_volume())
    np.testing.assert_allclose(made.get_scaled_positions(), parent.get_scaled_positions())


# --- the hull --------------------------------------------------------------------------------------------------


def phase(formula: str) -> Phase:
    symbols = [str(element) for element, n in Composition(formula).items() for _ in range(int(n))]
    return Phase(f"{formula} made up", Atoms(symbols, cell=[9, 9, 9], pbc=True), "test")


OXIDES = ["Na2O", "ZrO2", "SiO2", "P2O5", "Na3PO4", "ZrSiO4", "NaZr2P3O12", "Na4Zr2Si3O12"]
AMOUNT = st.integers(0, 4)


@settings(max_examples=60, deadline=None)
@given(
    amounts=st.tuples(AMOUNT, AMOUNT, AMOUNT, AMOUNT),
    energies=st.lists(st.floats(-9.0, -3.0), min_size=len(OXIDES), max_size=len(OXIDES)),
)
def test_the_hull_is_the_cheapest_decomposition(amounts, energies):
    """PhaseDiagram against a linear programme over amounts of phases."""
    assume(sum(n > 0 for n in amounts) >= 2)
    compound = sum(
        (Composition(formula) * n for formula, n in zip(OXIDES, amounts, strict=False) if n), Composition()
    )
    inside = [i for i, f in enumerate(OXIDES) if set(Composition(f)) <= set(compound)]
    competing = [(phase(OXIDES[i]), energies[i]) for i in inside]
    value, products = above_hull(compound, 0.0, competing)
    elements = list(compound)
    sites = np.array([[Composition(OXIDES[i])[element] for i in inside] for element in elements])
    cost = [energies[i] * Composition(OXIDES[i]).num_atoms for i in inside]
    best = linprog(cost, A_eq=sites, b_eq=[compound[element] for element in elements])
    assert value == pytest.approx(-best.fun / compound.num_atoms, abs=1e-6)
    assert sum(products.values()) == pytest.approx(1.0)


def test_a_compound_of_the_reference_lies_on_or_above_the_hull():
    competing = [(phase("ZrO2"), -9.9), (phase("SiO2"), -8.3), (phase("ZrSiO4"), -9.2)]
    assert above_hull(Composition("ZrSiO4"), -9.2, competing)[0] == pytest.approx(0.0)
    value, products = above_hull(Composition("Zr2SiO6"), -9.2, competing)
    assert value > 0
    assert set(products) == {"ZrO2 made up", "ZrSiO4 made up"}


def test_what_cannot_be_balanced_is_no_number():
    competing = [(phase("Na2O"), -4.0), (phase("ZrO2"), -9.9)]
    with pytest.raises(ValueError, match="O would be left over"):
        above_hull(Composition("NaZrO3"), -7.0, competing)


def test_energies_above_free_atoms_are_refused():
    with pytest.raises(CalculationFailed) as error:
        above_hull(Composition("ZrO2"), -9.0, [(phase("ZrO2"), 0.3)])
    assert error.value.failure.kind is FailureKind.INVALID


def test_a_lacking_element_is_named():
    elements = frozenset(["Na", "Tc", "Pt", "O"])
    with pytest.raises(ValueError, match="no phase with Pt, Tc"):
        check_elements(elements, Shipped().phases(elements), "shipped")


# --- with CHGNet -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def energies(tmp_path_factory) -> Energies:
    return Energies(HullSettings(), tmp_path_factory.mktemp("hull"))


class Small:
    """A reference of the test's own: some of the shipped phases."""

    name, version = "small", "1"

    def __init__(self, phases, *names):
        self.known = [phases[name] for name in names]

    def phases(self, elements):
        return [phase for phase in self.known if phase.elements <= elements]


def test_zircon_by_chgnet(phases, energies):
    """Zircon is stable against ZrO2 + SiO2 (measured enthalpy of formation from the oxides: -24 kJ/mol)."""
    oxides = Small(phases, "ZrO2 baddeleyite", "SiO2 quartz")
    zircon = phases["ZrSiO4 I4_1/amd"].atoms
    hull, relaxed = e_hull(zircon, energies, oxides)
    assert -0.06 < hull.e_hull_eV_per_atom < 0.0
    assert hull.products == pytest.approx({"ZrO2 baddeleyite": 0.5, "SiO2 quartz": 0.5})
    assert relaxed.converged
    assert hull.reference == "small"
    with_it = Small(phases, "ZrO2 baddeleyite", "SiO2 quartz", "ZrSiO4 I4_1/amd")
    again, _ = e_hull(zircon, energies, with_it)
    assert again.e_hull_eV_per_atom == pytest.approx(0.0, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metals", "published_eV_per_atom"),
    [(["Zr"] * 4, -0.006), (["Hf", "Zr", "Hf", "Zr"], -0.021)],
    ids=["NZSP", "NHZSP"],
)
def test_nasicon_by_chgnet(phases, energies, metals, published_eV_per_atom, capsys):
    """Na3Zr2Si2PO12 and Na3HfZrSi2PO12 beside PBE (Ouyang et al., Nat. Commun. 12, 5752 (2021); their data set)."""
    atoms = phases["Na4Zr2(SiO4)3 NASICON"].atoms.copy()
    for symbol, chosen in (("Zr", metals), ("Si", ["Si", "P", "Si", "Si", "P", "Si"])):
        atoms.symbols[np.flatnonzero(atoms.symbols == symbol)] = chosen
    sodium = np.flatnonzero(atoms.symbols == "Na")
    oxygen = [np.sort(atoms.get_distances(i, np.flatnonzero(atoms.symbols == "O"), mic=True))[5] for i in sodium]
    between = sodium[np.argsort(oxygen)[2:]]  # Na2: not the two in octahedra
    del atoms[between[:2]]
    hull, relaxed = e_hull(atoms, energies, Shipped())
    with capsys.disabled():
        print(f"\n{relaxed.formula}: {hull.e_hull_eV_per_atom:.4f} eV/atom (published {published_eV_per_atom}), ")
        print(f"{hull.decomposition()}; {relaxed.force_calls} calls, {relaxed.seconds} s; {hull.phases} phases")
    assert hull.e_hull_eV_per_atom == pytest.approx(published_eV_per_atom, abs=0.04)


def test_an_energy_is_paid_for_once(phases, tmp_path, monkeypatch):
    calls = []
    energies = Energies(HullSettings(), tmp_path)
    make = energies._labeller.calculator
    monkeypatch.setattr(energies._labeller, "calculator", lambda *given: calls.append(1) or make(*given))
    magnesia = phases["MgO rocksalt"].atoms
    first = energies.relaxed(magnesia)
    assert Energies(HullSettings(), tmp_path).relaxed(magnesia) == first
    assert len(calls) == 1
    (record,) = tmp_path.glob("*.json")
    record.write_text("{")  # a damaged record is computed again
    assert energies.relaxed(magnesia).energy_eV == pytest.approx(first.energy_eV, abs=1e-6)
    assert len(calls) == 2


def test_another_structure_setting_or_model_is_another_energy(phases, tmp_path):
    atoms = phases["MgO rocksalt"].atoms
    key = Energies(HullSettings(), tmp_path).key(atoms)
    strained = atoms.copy()
    strained.set_cell(atoms.cell * 1.01, scale_atoms=True)
    assert Energies(HullSettings(), tmp_path).key(strained) != key
    assert Energies(HullSettings(fmax_eV_per_A=0.01), tmp_path).key(atoms) != key
    assert Energies(HullSettings(options={"model": "r2scan"}), tmp_path).key(atoms) != key
    assert Energies(HullSettings(reference="shipped"), tmp_path).key(atoms) == key


def test_vacant_sites_are_no_atoms(phases, energies):
    atoms = phases["MgO rocksalt"].atoms.copy()
    atoms.append("X")
    atoms.positions[-1] = atoms.cell.array.sum(axis=0) * 0.25
    hull, relaxed = e_hull(atoms, energies, Small(phases, "MgO rocksalt"))
    assert relaxed.atoms == 2
    assert hull.e_hull_eV_per_atom == pytest.approx(0.0, abs=1e-3)


def test_what_does_not_converge_is_no_number(phases, tmp_path):
    squeezed = phases["ZrO2 baddeleyite"].atoms.copy()
    squeezed.set_cell(squeezed.cell * 0.95, scale_atoms=True)
    short = Energies(HullSettings(relax_steps=1), tmp_path)
    with pytest.raises(CalculationFailed) as error:
        e_hull(squeezed, short, Small(phases, "ZrO2 baddeleyite"))
    assert error.value.failure.kind is FailureKind.UNCONVERGED
    assert "more steps" in str(error.value)


class Broken(Energies):
    """Energies of which one phase fails in the given way; the others are made up."""

    def __init__(self, kind):
        self.kind = kind

    def relaxed(self, atoms, progress=None, name=""):
        if "P" in atoms.symbols:
            raise CalculationFailed(self.kind, "trouble with this one")
        return RelaxedEnergy(
            key="k", formula="", energy_eV=-5.0 * len(atoms), atoms=len(atoms), converged=len(atoms) < 4,
            fmax_eV_per_A=0.04, force_calls=1, seconds=0.0, structure=Structure.from_atoms(atoms),
        )  # fmt: skip


def test_a_phase_that_falls_apart_is_left_out_and_named():
    some = [phase("Na2O"), phase("P2O5"), phase("Na3PO4"), phase("SiO2"), phase("Na4SiO4")]
    competing, unconverged, left_out = relax_phases(some, Broken(FailureKind.INVALID))
    assert [one.formula for one, _ in competing] == ["Na2O", "SiO2", "Na4SiO4"]
    assert unconverged == ["Na4SiO4 made up"]
    assert len(left_out) == 2
    assert all("trouble" in text for text in left_out)


@pytest.mark.parametrize("kind", [FailureKind.TRANSIENT, FailureKind.WALLTIME])
def test_trouble_of_the_machine_is_no_hull(kind):
    with pytest.raises(CalculationFailed):
        relax_phases([phase("Na2O"), phase("Na3PO4")], Broken(kind))


@pytest.mark.parametrize(
    ("calculator", "words"), [("bvse", "gives no energies"), ("chgnett", "available"), ("vasp", "cannot run here")]
)
def test_calculators_that_cannot_do_it_are_refused(calculator, words, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=words):
        Energies(HullSettings(calculator=calculator), tmp_path)


def test_overlapping_atoms_are_refused(energies):
    with pytest.raises(ValueError, match="overlapping"):
        energies.relaxed(Atoms("MgO", positions=[[0, 0, 0], [0.2, 0, 0]], cell=[4, 4, 4], pbc=True))


# --- the Materials Project: mp-api's own client against a server of ours (the real one needs a key and a network) ---

KEY = "0123456789abcdef" * 2


class Server(ThreadingHTTPServer):
    """Answers the two paths that the client asks for, with four made-up entries of Zr-O."""

    def __init__(self, dioxide: Atoms) -> None:
        molecule = Atoms("O2", positions=[[0, 0, 0], [0, 0, 1.2]], cell=[8, 8, 8], pbc=True)
        monoxide = bulk("ZrO", "rocksalt", a=4.6)
        #: Structures with their energies, eV/atom
        self.known = [(bulk("Zr"), -8.5), (molecule, -4.9), (dioxide, -9.9), (monoxide, -7.0)]
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.keys: list[str | None] = []
        self.broken = False

    def documents(self) -> list[dict]:
        entries = []
        for number, (atoms, energy) in enumerate(self.known, start=1):
            structure = AseAtomsAdaptor.get_structure(atoms)
            entry = ComputedStructureEntry(structure, energy * len(structure), entry_id=f"mp-{number}-GGA")
            entries.append({"thermo_type": "GGA_GGA+U", "entries": {"GGA": entry.as_dict()}})
        return entries


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/heartbeat":
            return self.answer(200, {"version": "0.87.3", "db_version": "2026.1", "access_controlled_batch_ids": []})
        self.server.asked.append(parse_qs(query)["chemsys"][0])
        self.server.keys.append(self.headers["x-api-key"])
        assert path == "/materials/thermo/"
        assert parse_qs(query)["thermo_types"] == ["GGA_GGA+U"]
        if self.server.broken:
            return self.answer(403, {"detail": f"no access for {self.headers['x-api-key']}"})
        documents = self.server.documents()
        return self.answer(200, {"data": documents, "meta": {"total_doc": len(documents)}})

    def answer(self, status: int, body: dict) -> None:
        content = json.dumps(body, cls=MontyEncoder).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(phases, monkeypatch):
    client = pytest.importorskip("mp_api.client.core.utils")
    server = Server(phases["ZrO2 baddeleyite"].atoms)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setattr(client.MAPI_CLIENT_SETTINGS, "ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    yield server
    server.shutdown()
    server.server_close()


def test_only_compounds_near_the_hull_are_taken(server, tmp_path):
    project = MaterialsProject(tmp_path)
    assert project.version == "2026.1"
    (found,) = project.phases(frozenset(["Zr", "O"]))
    assert found.name == "ZrO2 mp-3-GGA"
    assert found.source == "Materials Project mp-3-GGA"
    assert found.atoms.get_chemical_formula() == "O8Zr4"
    assert {frozenset(system.split("-")) for system in server.asked[0].split(",")} == {
        frozenset(["Zr"]),
        frozenset(["O"]),
        frozenset(["Zr", "O"]),
    }


def test_e_hull_against_the_project_s_phases(server, phases, energies, tmp_path):
    """The whole way: the client, the phases, their relaxation, the hull."""
    hull, _ = e_hull(phases["ZrO2 baddeleyite"].atoms, energies, MaterialsProject(tmp_path))
    assert hull.reference.startswith("materials-project")
    assert hull.e_hull_eV_per_atom == pytest.approx(0.0, abs=1e-3)
    with pytest.raises(ValueError, match="Zr"):
        e_hull(bulk("ZrO", "rocksalt", a=4.6), energies, MaterialsProject(tmp_path))


def test_the_project_is_asked_once_and_the_key_is_written_nowhere(server, tmp_path):
    project = MaterialsProject(tmp_path)
    for _ in range(2):
        assert len(project.phases(frozenset(["Zr", "O"]))) == 1
    assert len(server.asked) == 1
    assert server.keys == [KEY]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY in path.read_text()]


def test_trouble_with_the_project_is_transient_and_does_not_tell_the_key(server, tmp_path):
    project, server.broken = MaterialsProject(tmp_path), True
    with pytest.raises(CalculationFailed) as error:
        project.phases(frozenset(["Zr", "O"]))
    assert error.value.failure.kind is FailureKind.TRANSIENT
    assert "403" in str(error.value)
    assert KEY not in str(error.value)
    assert KEY not in json.dumps(error.value.failure.model_dump(mode="json"))


def test_a_server_that_is_not_there_is_transient(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(CalculationFailed, match="cannot be asked") as error:
        MaterialsProject(tmp_path)
    assert error.value.failure.kind is FailureKind.TRANSIENT


def test_what_the_project_s_client_does_not_take_is_said_before_it_is_asked(server, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="nine elements at most, not 10"):
        MaterialsProject(tmp_path).phases(frozenset(DOPANTS[:10]))
    monkeypatch.setenv(KEY_VARIABLE, "short")
    with pytest.raises(ValueError, match="32 characters, not 5") as error:
        MaterialsProject(tmp_path)
    assert "short" not in str(error.value).replace(KEY_VARIABLE, "")
    assert not server.asked


def test_without_a_key_the_project_says_what_to_do_and_auto_takes_the_shipped(tmp_path, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(ValueError, match=KEY_VARIABLE):
        open_reference("materials-project", tmp_path)
    assert open_reference("auto", tmp_path).name == "shipped"
