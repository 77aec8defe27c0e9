"""What a label keeps of its way, and what fine-tuning takes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from cells import copper_with_vacancy

from calculators.frames import collect_frames, displaced_frames, label_frames, read_frames, relaxation_frames
from calculators.label import Label, Structure, Work
from calculators.pipeline import label_key, label_work
from calculators.storage import read_images


def copper(**settings) -> Work:
    fast = {"images": 3, "hop_cutoff_A": 3.0, "relax": "atoms"}
    structure = Structure.from_atoms(copper_with_vacancy())
    return Work(structure=structure, ion="Cu", calculator="emt", settings=fast | settings)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Label, Path]:
    folder = tmp_path_factory.mktemp("kept")
    return label_work(copper(keep_frames=True, relax_fmax_eV_per_A=0.01), folder), folder


def numbered(count):
    frames = []
    for number in range(count):
        frame = bulk("Cu")
        frame.info["number"] = number
        frames.append(frame)
    return frames


def test_every_force_call_leaves_a_frame(kept):
    label, folder = kept
    files = sorted((folder / "frames").glob("*.extxyz"))
    assert {path.stem.partition("-")[2] for path in files} == {"relax", "final", "neb"}
    assert sum(len(read_frames(path)) for path in files) == label.force_calls
    band = read_frames(files[-1])
    best = label.hops[label.decisive]
    energies = np.array([frame.get_potential_energy() for frame in band[-3:]])
    start = label_frames_of(folder, "relax")[-1].get_potential_energy()
    assert energies.max() - start == pytest.approx(best.forward_eV, abs=2e-3)
    assert band[0].get_forces().shape == (31, 3)
    assert band[0].get_stress().shape == (6,)


def label_frames_of(folder, stage):
    return [frame for path in sorted((folder / "frames").glob(f"*-{stage}.extxyz")) for frame in read_frames(path)]


def test_frames_are_not_part_of_the_address_unless_they_are_kept():
    assert label_key(copper()) == label_key(copper(keep_frames=False))
    assert label_key(copper()) != label_key(copper(keep_frames=True))


def test_a_label_becomes_a_training_set(kept):
    _, folder = kept
    frames = label_frames(folder)
    relaxed = sum(len(relaxation_frames(label_frames_of(folder, stage))) for stage in ("relax", "initial", "final"))
    assert relaxed < len(frames) <= relaxed + 10
    assert len(collect_frames([folder, folder])) == 2 * len(frames)
    assert all(np.isfinite(frame.get_potential_energy()) for frame in frames)


def test_what_a_kill_cut_off_is_left_out(kept, tmp_path):
    _, folder = kept
    whole = sorted((folder / "frames").glob("*-relax.extxyz"))[0]
    text = whole.read_text()
    (tmp_path / "000-relax.extxyz").write_text(text[: int(0.8 * len(text))])
    cut = read_frames(tmp_path / "000-relax.extxyz")
    assert 0 < len(cut) < len(read_frames(whole))
    assert read_images(tmp_path / "000-relax.extxyz") is None  # a file that must be whole is not


def test_a_label_made_without_frames_gives_its_states_and_band(tmp_path):
    label = label_work(copper(), tmp_path)
    frames = label_frames(tmp_path)
    assert not (tmp_path / "frames").exists()
    assert len(frames) >= 5
    energies = [frame.get_potential_energy() for frame in frames]
    assert max(energies) - min(energies) == pytest.approx(label.value_eV, abs=0.02)


def test_folders_without_labels_are_one_clear_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no label \(work.json\) in"):
        collect_frames([tmp_path])
    with pytest.raises(FileNotFoundError, match="is no folder of a label"):
        label_frames(tmp_path)
    (tmp_path / "work.json").write_text("{}")
    with pytest.raises(ValueError, match="is not readable"):
        label_frames(tmp_path)


def test_relaxation_frames_are_the_papers():
    """The first 10 and 40 random ones of the rest."""
    numbers = [frame.info["number"] for frame in relaxation_frames(numbered(200))]
    assert numbers[:10] == list(range(10))
    assert len(set(numbers)) == 50
    assert numbers == sorted(numbers)
    assert len(relaxation_frames(numbered(7))) == 7
    assert len(relaxation_frames(numbered(30))) == 30


def test_frames_with_ions_far_from_their_sites():
    frames = []
    for number in range(20):
        frame = bulk("NaCl", "rocksalt", a=8.0, cubic=True)
        moved = np.flatnonzero(frame.symbols == "Na")[: number % 5]
        frame.positions[moved] += [2.7, 0, 0]
        frame.info["away"] = len(moved)
        frames.append(frame)
    sites = frames[0].get_scaled_positions()[frames[0].symbols == "Na"]
    chosen = displaced_frames(frames, "Na", sites, count=8)
    assert sorted(frame.info["away"] for frame in chosen) == [3] * 4 + [4] * 4


def test_on_a_short_hop_the_frames_nearest_to_its_middle_are_taken():
    frames = []
    for share in np.linspace(0, 1, 21):
        frame = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
        frame.positions[0] += share * np.array([0, 2.8, 2.8])
        frame.info["share"] = share
        frames.append(frame)
    sites = frames[0].get_scaled_positions()[frames[0].symbols == "Na"]
    shares = [frame.info["share"] for frame in displaced_frames(frames, "Na", sites, count=5)]
    assert shares == pytest.approx([0.4, 0.45, 0.5, 0.55, 0.6])
