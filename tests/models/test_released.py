import json

import numpy as np
import pytest
import torch
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from models.released import ReleasedCGformer, load_released


@pytest.mark.parametrize("kind", ["finetune", "pretrain"])
def test_reference_predictions_are_reproduced(shared, kind):
    folder = shared / "reference" / "cgformer"
    reference = json.loads((folder / "predictions.json").read_text())
    structures = [AseAtomsAdaptor.get_atoms(Structure.from_dict(row["structure"])) for row in reference]
    expected = np.array([row["E_b"][f"{kind}d" if kind == "finetune" else f"{kind}ed"] for row in reference])
    model = load_released(folder / f"model_best-{kind}.pth.tar")
    np.testing.assert_allclose(model.predict(structures), expected, atol=1e-4)
    single = [model.predict([atoms])[0] for atoms in structures[:4]]
    np.testing.assert_allclose(single, expected[:4], atol=1e-4)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_released(tmp_path / "nowhere.pth.tar")
    torch.save({"state_dict": {}}, tmp_path / "other.pth.tar")
    with pytest.raises(ValueError, match="not a checkpoint of the released CGformer"):
        load_released(tmp_path / "other.pth.tar")
    (tmp_path / "text.pth.tar").write_text("hello")
    with pytest.raises(ValueError, match="not a checkpoint"):
        load_released(tmp_path / "text.pth.tar")


def test_attention_reaches_only_neighbours(nasicon):
    """What the released code does, unlike its paper: an atom far away changes nothing after one layer."""
    from models.released import ReleasedConfig
    from models.stores import GraphStore

    torch.manual_seed(0)
    network = ReleasedCGformer(ReleasedConfig(convolutions=0)).eval()
    changed = nasicon.copy()
    changed.numbers[0] = 3
    far = int(np.argmax(nasicon.get_distances(0, range(len(nasicon)), mic=True)))
    with torch.no_grad():
        nodes = [network.nodes(GraphStore([a], whole_shells=False).batch(np.array([0]))) for a in (nasicon, changed)]
    assert torch.equal(nodes[0][far], nodes[1][far])
    assert not torch.equal(nodes[0][0], nodes[1][0])


def test_parameter_count():
    """About 125 thousand values, as the released checkpoint has."""
    assert sum(p.numel() for p in ReleasedCGformer().parameters()) == pytest.approx(125_000, rel=0.03)
