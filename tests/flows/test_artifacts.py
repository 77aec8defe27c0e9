import logging
import re
import time

import httpx
import pytest
from prefect import flow
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    get_current_settings,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

from flows import artifacts


@pytest.fixture(scope="module")
def prefect_server():
    with prefect_test_harness(server_startup_timeout=120):
        yield


def stored(key):
    """All versions of an artifact as the server has them, oldest first."""
    query = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC"}
    answer = httpx.post(f"{get_current_settings().api.url}/artifacts/filter", json=query)
    return answer.raise_for_status().json()[::-1]


def test_rounds_are_the_versions_of_every_artifact(prefect_server, synthetic_view):
    @flow
    def publish():
        return [artifacts.publish_round(synthetic_view, number) for number in (1, 2)]

    assert publish() == [True, True]
    for key in artifacts.artifact_keys(synthetic_view.name).values():
        versions = stored(key)
        assert [re.search(r"round (\d)", version["description"]).group(1) for version in versions] == ["1", "2"]
        assert all(version["flow_run_id"] for version in versions)


def test_the_dead_server_costs_one_warning_and_little_time(synthetic_view, caplog):
    start = time.monotonic()
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}),
        caplog.at_level(logging.WARNING, logger="ionloop"),
    ):
        assert artifacts.publish_round(synthetic_view, 1) is False
    assert len([r for r in caplog.records if r.name == "ionloop"]) == 1
    assert "campaign goes on" in caplog.text
    assert time.monotonic() - start < 30


def test_a_picture_that_cannot_be_drawn_does_not_end_the_campaign(views, caplog, tmp_path):
    from dataclasses import replace

    (tmp_path / "space.csv").write_text("composition\nx\n")
    view = replace(views["one label"], folder=tmp_path)
    with caplog.at_level(logging.WARNING, logger="ionloop"):
        assert artifacts.publish_round(view, 1) is False
    assert "could not be drawn" in caplog.text


def test_keys_are_what_prefect_allows():
    for key in artifacts.artifact_keys("My Campaign_1.0 (NZSP)").values():
        assert re.fullmatch(r"[a-z0-9-]+", key)


def test_the_table_tells_what_why_and_where(synthetic_view):
    rows = artifacts.acquisition_table(synthetic_view, 2)
    chosen = synthetic_view.of_round(2)
    assert [row["ledger id"] for row in rows] == [a.id for a in chosen]
    assert all(row["why"] and row["folder"].startswith("labels/") for row in rows)
    assert "nan" not in str(rows).lower()


def test_the_summary_shows_its_plots_without_a_file_server(synthetic_view):
    text = artifacts.summary(synthetic_view, 4)
    assert text.count("](data:image/png;base64,") == len(artifacts.PICTURES)
    assert "mean predictor" in text
    assert str(synthetic_view.folder) not in text  # no path of a machine


def test_every_edge_has_contents(edge_view):
    assert artifacts.acquisition_table(edge_view, 1)
    assert artifacts.quality_table(edge_view, 1)
    assert artifacts.best_table(edge_view)
    assert artifacts.failure_table(edge_view)
    assert 0 <= artifacts.progress_percent(edge_view) <= 100
    assert artifacts.summary(edge_view, 1).startswith(f"# {edge_view.name}")


def test_every_fidelity_says_what_it_took(synthetic_view):
    lines = {line["fidelity"]: line for line in artifacts.fidelity_table(synthetic_view)}
    assert set(lines) == {"bvse", synthetic_view.target_fidelity}
    assert lines["bvse"]["labels"] + lines["bvse"]["pending"] <= 12
    at_target = lines[synthetic_view.target_fidelity]
    assert at_target["labels"] == len(synthetic_view.at_target)
    assert at_target["lowest (eV)"] == f"{synthetic_view.best[0].value_eV:.3f}"
    assert sum(line["failed attempts"] for line in lines.values()) == sum(
        line["attempts"] for line in artifacts.failure_table(synthetic_view) if line["kind"] != "lost"
    )


def test_each_acquisition_names_its_prefect_run(synthetic_view):
    from dataclasses import replace

    first = synthetic_view.of_round(1)[0]
    view = replace(synthetic_view, acquisitions=(replace(first, prefect_run="a-run"),))
    assert artifacts.acquisition_table(view, 1)[0]["prefect run"] == "a-run"


def test_every_figure_of_quality_is_shown():
    """Coverage, miscalibration and the rest have a title under the name that the campaign writes them by."""
    from flows.facts import METRICS
    from flows.quality import NAMES

    assert {"mae_eV", "coverage_90", "miscalibration_area", "crps_eV"} <= set(METRICS) & set(NAMES.values())
