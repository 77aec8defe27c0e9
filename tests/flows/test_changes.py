"""What may change in a campaign's configuration between two runs, and what an older ionloop did not know yet."""

from __future__ import annotations

from typing import Any

import pytest

from flows.changes import FIXED, check_changes
from flows.config import Config, parse_config
from flows.errors import UserError


def dumped(**changes: dict[str, Any]) -> dict[str, Any]:
    return parse_config({"campaign": {"name": "one"}} | changes).model_dump(mode="json")


def test_a_campaign_of_an_older_version_goes_on() -> None:
    """It lacks every field that came later, in the fixed sections too: they have been at their defaults."""
    older = dumped()
    del older["loop"], older["model"]["start_from"], older["pretrain"]["settings"]
    assert check_changes(older, dumped()) == []


def test_cheap_labels_by_default_are_those_that_were_stored_when_the_number_stood_in_the_file() -> None:
    chgnet = {"label": {"calculators": ["chgnet"]}}
    assert check_changes(dumped(pretrain={"labels": 200}, **chgnet), dumped(**chgnet)) == []
    with pytest.raises(UserError, match=r"pretrain\.labels: 100 -> 200"):
        check_changes(dumped(pretrain={"labels": 100}, **chgnet), dumped(**chgnet))


def test_a_field_that_is_fixed_and_new_may_still_not_change() -> None:
    older = dumped()
    del older["loop"]
    with pytest.raises(UserError, match=r"loop\.mode: 'rounds' -> 'streaming'"):
        check_changes(older, dumped(loop={"mode": "streaming"}))


def test_a_configuration_that_is_no_longer_understood_is_compared_as_it_is() -> None:
    older = dumped() | {"gone": {"field": 1}}
    assert check_changes(older, dumped()) == ["gone: {'field': 1} -> None"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stopping": {"max_labels": 20}}, "stopping.max_labels: None -> 20"),
        ({"label": {"workers": 7}}, "label.workers: 2 -> 7"),
        ({"campaign": {"name": "one", "batch": 3}}, "campaign.batch: 8 -> 3"),
    ],
)
def test_what_may_change_is_said(changes: dict[str, Any], said: str) -> None:
    assert check_changes(dumped(), dumped(**changes)) == [said]


@pytest.mark.parametrize(
    "changes",
    [
        {"campaign": {"name": "one", "seed": 3}},
        {"space": {"candidates": ["Al", "Sn", "Zr", "Ti"]}},
        {"model": {"kind": "forest"}},
        {"label": {"calculators": ["chgnet"]}},
    ],
)
def test_what_would_make_it_another_campaign_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="another configuration") as caught:
        check_changes(dumped(), dumped(**changes))
    assert "\n" not in str(caught.value)


def test_what_is_fixed_exists() -> None:
    data = dumped()
    for field in FIXED:
        section, _, name = field.partition(".")
        assert section in Config.model_fields
        assert not name or name in data[section]
