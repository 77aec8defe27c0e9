"""Prefect's stage on a real server: what a step leaves there, and what it leaves in the driver."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.server import Server, local_server, quiet_prefect

quiet_prefect()

from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: E402

from flows import stage as stages  # noqa: E402
from flows.stage import PrefectStage, crew, current_run_id, elsewhere, tell  # noqa: E402
from tests.flows.test_campaign import post  # noqa: E402
from tests.flows.test_deployment import wait  # noqa: E402

LABELS = 6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IONLOOP_HOME", str(tmp_path_factory.mktemp("home")))
        with local_server() as running, temporary_settings({PREFECT_API_URL: running.api_url}):
            yield running


def play(stage: PrefectStage, campaign: str, first: int = 0) -> list[str]:
    """A campaign of one round of labels, each with tags of its own; returns the ids of the labels' runs."""
    runs: list[str] = []

    def label() -> None:
        runs.append(current_run_id())
        tell("NaX by chgnet")

    def labels() -> None:
        with crew(2) as threads:
            tags = [("round 1", f"cluster {i}", f"ledger id {i}") for i in range(first, first + LABELS)]
            for done in [
                elsewhere(threads, stage.step, "label", f"NEB {{{i}}}", label, own) for i, own in enumerate(tags)
            ]:
                done.result()

    stage.flow(campaign, lambda: stage.flow("round 1", labels, "round"), "campaign")
    return runs


def test_every_label_is_a_run_of_its_own_name_and_tags(server: Server) -> None:
    runs = play(PrefectStage(server.api_url, "many", lambda: None), "many")

    def recorded() -> dict[str, dict[str, object]]:
        return {str(run["id"]): run for run in post(server.api_url, "task_runs") if run["id"] in runs}

    wait("the runs", lambda: [run["state_name"] for run in recorded().values()] == ["Completed"] * LABELS)
    found = {str(run["name"]): set(run["tags"]) for run in recorded().values()}  # type: ignore[call-overload]
    assert found == {f"NEB {{{i}}}": {"many", "round 1", f"cluster {i}", f"ledger id {i}"} for i in range(LABELS)}


def test_labels_leave_no_threads_behind(server: Server) -> None:
    """Prefect keeps a thread with a client for every set of tags that a run begins with."""
    stage = PrefectStage(server.api_url, "threads", lambda: None)
    play(stage, "threads")
    before = threading.active_count()
    play(stage, "threads", first=LABELS)
    assert threading.active_count() <= before


def test_the_server_is_not_asked_for_every_label(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answers = stages.answers
    monkeypatch.setattr(stages, "answers", lambda url, patience: asked.append(url) or answers(url, patience))
    monkeypatch.setattr(stages, "HEARD_S", 600.0)
    play(PrefectStage(server.api_url, "asked", lambda: None), "asked")
    assert len(asked) == 1


def test_without_a_server_the_bodies_are_played_all_the_same(tmp_path: Path) -> None:
    assert play(PrefectStage("http://127.0.0.1:9/api", "alone", lambda: None), "alone") == [""] * LABELS
