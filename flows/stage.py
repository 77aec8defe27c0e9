"""Prefect shows the campaign; it never decides whether the campaign goes on (DESIGN.md, rule 1)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from prefect import flow, get_run_logger, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import MissingContextError
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import publish_round
from flows.server import answers
from flows.view import CampaignView

log = logging.getLogger("ionloop")

#: How long a busy server may take to answer (s); one that is gone refuses at once.
PATIENCE_S = 30.0


class Stage(Protocol):
    """Where the parts of a campaign are played: on Prefect's stage, or on none."""

    def flow(self, name: str, body: Callable[[], None], kind: str) -> None:
        """Play `body` as a flow run of this `kind` ("campaign", "round") and name."""
        ...

    def each(self, kind: str, titles: list[str], body: Callable[[int], None], workers: int) -> None:
        """Play `body(i)` for every title, `workers` at a time; returns when all have ended."""
        ...

    def step(self, kind: str, title: str, body: Callable[[], None]) -> None:
        """Play `body` as one task."""
        ...

    def publish(self, view: CampaignView, round: int) -> None:
        """Show what a round has brought."""
        ...


class BareStage:
    """No Prefect: the same bodies, called."""

    def flow(self, name: str, body: Callable[[], None], kind: str) -> None:
        body()

    def each(self, kind: str, titles: list[str], body: Callable[[int], None], workers: int) -> None:
        with ThreadPoolExecutor(workers) as threads:
            for future in [threads.submit(body, i) for i in range(len(titles))]:
                future.result()

    def step(self, kind: str, title: str, body: Callable[[], None]) -> None:
        body()

    def publish(self, view: CampaignView, round: int) -> None:
        """There is nobody to show it to; the ledger has it all."""


class _Once:
    """A body that runs at most once, whoever calls it, and remembers how it ended."""

    def __init__(self, body: Callable[[], None]) -> None:
        self._body = body
        self.ended = False
        self.error: BaseException | None = None

    def __call__(self) -> None:
        try:
            self._body()
            self.ended = True
        except BaseException as error:
            self.error = error
            raise


class PrefectStage:
    """Flow runs, mapped tasks and their names in the Prefect UI.

    Bodies are closures over the campaign, and only their names travel to Prefect: its database holds no arrays.
    If Prefect fails where the body has not (server gone, database lost), the body is played without it.
    """

    def __init__(self, api_url: str, campaign: str) -> None:
        """
        Args:
            api_url: of the Prefect API.
            campaign: becomes a tag of every run, to filter by.
        """
        self._api_url = api_url
        self._campaign = campaign
        self._bare = BareStage()

    def flow(self, name: str, body: Callable[[], None], kind: str) -> None:
        once = _Once(body)

        @flow(name=kind, flow_run_name=name, validate_parameters=False, persist_result=False)
        def shown() -> None:
            once()

        with tags(self._campaign):
            self._guard(shown, once, f"{kind} {name}")

    def step(self, kind: str, title: str, body: Callable[[], None]) -> None:
        once = _Once(body)

        @task(name=kind, task_run_name=title.replace("{", "(").replace("}", ")"), cache_policy=NO_CACHE)
        def shown() -> None:
            once()

        self._guard(shown, once, f"{kind} {title}")

    def each(self, kind: str, titles: list[str], body: Callable[[int], None], workers: int) -> None:
        if FlowRunContext.get() is None or not answers(
            self._api_url, PATIENCE_S
        ):  # mapped tasks need a flow run around them
            return self._bare.each(kind, titles, body, workers)
        parts = [_Once(lambda i=i: body(i)) for i in range(len(titles))]  # type: ignore[misc]

        @task(name=kind, task_run_name="{title}", cache_policy=NO_CACHE)
        def shown(title: str, number: int) -> None:
            parts[number]()

        try:
            threads: ThreadPoolTaskRunner[None] = ThreadPoolTaskRunner(max_workers=workers)
            with threads as runner:
                for future in runner.map(shown, {"title": titles, "number": list(range(len(titles)))}):
                    future.wait()
        except Exception as error:  # noqa: BLE001 (whatever Prefect raises, the campaign's own work decides)
            self._warn(kind, error)
        for part in parts:
            if part.error is not None:
                raise part.error
        missing = [number for number, part in enumerate(parts) if not part.ended]
        self._bare.each(kind, [titles[i] for i in missing], lambda i: body(missing[i]), workers)
        return None

    def publish(self, view: CampaignView, round: int) -> None:
        if answers(self._api_url, PATIENCE_S):
            publish_round(view, round)

    def _guard(self, shown: Callable[[], None], once: _Once, what: str) -> None:
        if not answers(self._api_url, PATIENCE_S):  # Prefect's client would try for minutes
            return once()
        try:
            shown()
        except Exception as error:  # noqa: BLE001
            if once.error is not None:
                raise once.error from None
            self._warn(what, error)
        if not once.ended:
            once()
        return None

    @staticmethod
    def _warn(what: str, error: Exception) -> None:
        log.warning("%s: Prefect did not answer (%s); going on without it", what, type(error).__name__)


def current_run_id() -> str:
    """Id of the Prefect task or flow run that this code is shown in, or ""."""
    if (task_context := TaskRunContext.get()) is not None:
        return str(task_context.task_run.id)
    if (flow_context := FlowRunContext.get()) is not None and flow_context.flow_run is not None:
        return str(flow_context.flow_run.id)
    return ""


def tell(text: str) -> None:
    """One line for the person who reads the run's log in the Prefect UI."""
    try:
        get_run_logger().info(text)
    except MissingContextError:
        log.info(text)
