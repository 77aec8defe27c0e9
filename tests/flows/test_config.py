from pathlib import Path

import pytest
import yaml

from flows.changes import check_changes
from flows.config import Config, ConfigError, load_config, parse_config
from flows.example import example_config


def written(folder: Path, text: str, name: str = "campaign.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_example_is_valid_and_has_every_field_at_its_default(tmp_path: Path) -> None:
    text = example_config()
    config = load_config(written(tmp_path, text))
    assert config == parse_config({"campaign": {"name": "my-campaign"}})
    for name, section in Config.model_fields.items():
        assert f"[{name}]" in text
        for key, field in section.annotation.model_fields.items():
            assert f"{key} =" in text
            assert field.description, f"{name}.{key} is not documented"


def test_cheap_labels_are_for_another_target_unless_asked_for() -> None:
    """The default target, the label of the largest intraclass correlation, is the cheapest too."""
    name = {"campaign": {"name": "a"}}
    assert parse_config(name).label.calculators == ["bvse"]
    assert parse_config(name).cheap_labels == 0
    assert parse_config(name | {"label": {"calculators": ["chgnet"]}}).cheap_labels == 200
    assert parse_config(name | {"pretrain": {"labels": 7}}).cheap_labels == 7


def test_yaml_says_the_same_as_toml(tmp_path: Path) -> None:
    data = {"campaign": {"name": "a", "batch": 3}, "label": {"calculators": ["emt"]}}
    config = load_config(written(tmp_path, yaml.safe_dump(data), "a.yaml"))
    assert config == parse_config(data)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[campaign]\nname = 'a'\nbatchs = 3", ["campaign.batchs", "no such field", "'batch'", "allowed"]),
        ("[campaign]\nname = 'a'\n[lable]\nworkers = 1", ["lable", "'label'"]),
        ("[campaign]\nbatch = 3", ["campaign.name", "required"]),
        ("[campaign]\nname = 'a'\nbatch = 0", ["campaign.batch", "greater than or equal to 1", "given: 0"]),
        ("[campaign]\nname = 'a/b'", ["campaign.name"]),
        ("[campaign]\nname = 'a'\n[space]\ncandidates = ['Xx']", ["space", "Xx"]),
        ("[campaign]\nname = 'a'\n[stopping]\nmax_labels = 2", ["stopping.max_labels", "campaign.batch"]),
        ("[campaign]\nname = 'a'\n[label.settings.vasp]\nx = 1", ["settings.vasp", "calculators"]),
        ("[campaign]\nname = 'a'\n[acquisition]\nmax_orderings = 3", ["acquisition.max_orderings", "orderings"]),
        ("[campaign", ["not valid TOML"]),
        ("", ["campaign", "required"]),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(tmp_path: Path, text: str, words: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value).count("\n") == 0
    for word in [str(path), *words]:
        assert word in str(error.value)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ionloop init"):
        load_config(tmp_path / "none.toml")


def test_a_campaign_from_before_there_were_other_schedulers_goes_on(tmp_path: Path) -> None:
    text = "[campaign]\nname = 'a'\n[label]\nscheduler = 'slurm'\n[{}]\ncores = 4\n"
    old, new = (load_config(written(tmp_path, text.format(section))) for section in ("slurm", "jobs"))
    assert old == new
    assert new.jobs.cores == 4
    assert (
        check_changes(
            {"slurm": {"cores": 4}} | old.model_dump(mode="json", exclude={"jobs"}), new.model_dump(mode="json")
        )
        == []
    )
