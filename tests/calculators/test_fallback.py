import pytest
from cells import copper_with_vacancy

from calculators.fallback import Patience, deserves_relabel, label_with_fallback
from calculators.label import Failure, FailureKind, Label, Structure, Work
from calculators.pipeline import label_work

FAST = {"images": 3, "hop_cutoff_A": 3.0, "relax": "atoms"}
WORK = Work(structure=Structure.from_atoms(copper_with_vacancy()), ion="Cu", calculator="emt")


def test_the_next_calculator_answers_under_its_own_name(tmp_path):
    chain = ["plugins:Raising", "emt"]
    label = label_with_fallback(WORK, chain, tmp_path, settings=dict.fromkeys(chain, FAST))
    assert label.ok
    assert label.fidelity == "emt-neb"
    kinds = [attempt["kind"] for attempt in label.provenance["attempts"]]
    assert kinds == ["invalid", "ok"]  # an invalid one is not tried again
    assert "SCF did not converge" in label.provenance["attempts"][0]["reason"]
    assert label.provenance["wanted_fidelity"] == "raising-neb"
    assert not deserves_relabel(label)


def test_transient_trouble_is_waited_for(tmp_path):
    waits: list[float] = []
    left = [FailureKind.TRANSIENT, FailureKind.TRANSIENT]

    def flaky(work, folder) -> Label:
        if left:
            failure = Failure(kind=left.pop(), reason="the node is away")
            return Label(key="k", fidelity="emt-neb", failure=failure)
        return label_work(work, folder)

    label = label_with_fallback(
        WORK,
        ["emt"],
        tmp_path,
        settings={"emt": FAST},
        compute=flaky,
        sleep=waits.append,
        patience=Patience(backoff_s=1),
    )
    assert label.ok
    assert waits == [1, 2]
    assert [attempt["kind"] for attempt in label.provenance["attempts"]] == ["transient", "transient", "ok"]


def test_an_unconverged_band_is_continued_by_the_second_try(tmp_path):
    settings = {"emt": FAST | {"steps": 8}}
    label = label_with_fallback(WORK, ["emt"], tmp_path, settings=settings, patience=Patience(unconverged=4))
    kinds = [attempt["kind"] for attempt in label.provenance["attempts"]]
    assert kinds[0] == "unconverged"
    assert kinds[-1] == "ok"


def test_a_dear_calculator_that_was_only_away_is_come_back_to():
    def down(work, folder) -> Label:
        failure = Failure(kind=FailureKind.TRANSIENT, reason="down") if work.calculator == "lj" else None
        return Label(key="k", fidelity=f"{work.calculator}-neb", value_eV=None if failure else 0.5, failure=failure)

    label = label_with_fallback(WORK, ["lj", "emt"], "unused", compute=down, sleep=lambda seconds: None)
    assert label.fidelity == "emt-neb"
    assert len(label.provenance["attempts"]) == 4
    assert deserves_relabel(label)


def test_a_senseless_chain_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="empty"):
        label_with_fallback(WORK, [], tmp_path)
    with pytest.raises(ValueError, match="unknown; available"):
        label_with_fallback(WORK, ["emt", "vaps"], tmp_path)
