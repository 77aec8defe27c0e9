"""Prefect shows the campaign; it never decides whether the campaign goes on (DESIGN.md, rule 1)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from math import inf
from typing import Any, Protocol
from uuid import UUID

from prefect import Task, flow, get_run_logger, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TagsContext, TaskRunContext
from prefect.exceptions import MissingContextError, Pause
from prefect.states import Cancelled, Completed

from flows.artifacts import PREFECT_ERRORS, publish_round
from flows.places import STOPPED, Interrupted
from flows.server import answers
from flows.view import CampaignView

log = logging.getLogger("ionloop")

#: How long a busy server may take to answer (s); one that is gone refuses at once.
PATIENCE_S = 30.0
#: A server that has answered is not asked again for so long (s).
HEARD_S = 3.0


class Stage(Protocol):
    """Where the parts of a campaign are played: on Prefect's stage, or on none."""

    def flow(self, name: str, body: Callable[[], None], kind: str) -> None:
        """Play `body` as a flow run of this `kind` ("campaign", "round") and name."""
        ...

    def step(self, kind: str, title: str, body: Callable[[], None], labels: Sequence[str] = ()) -> None:
        """Play `body` as one task of the flow run around it; `labels` become its tags."""
        ...

    def publish(self, view: CampaignView, round: int) -> None:
        """Show what a round has brought."""
        ...


class BareStage:
    """No Prefect: the same bodies, called."""

    def flow(self, name: str, body: Callable[[], None], kind: str) -> None:
        body()

    def step(self, kind: str, title: str, body: Callable[[], None], labels: Sequence[str] = ()) -> None:
        body()

    def publish(self, view: CampaignView, round: int) -> None:
        """There is nobody to show it to; the ledger has it all."""


@contextmanager
def crew(size: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for the length of the block. If it is left by an exception, what has not begun never does."""
    threads = ThreadPoolExecutor(size)
    try:
        yield threads
    except BaseException:
        threads.shutdown(wait=True, cancel_futures=True)
        raise
    threads.shutdown(wait=True)


def elsewhere(threads: ThreadPoolExecutor, play: Callable[..., None], *arguments: Any) -> Future[None]:
    """Play a flow or step of a stage in another thread, shown under the flow run of the caller."""
    return threads.submit(copy_context().run, play, *arguments)


class _Once:
    """A body that runs at most once, whoever calls it, and remembers how it ended."""

    def __init__(self, body: Callable[[], None]) -> None:
        self._body = body
        self.ended = False
        self.error: BaseException | None = None
        self.flow_run = ""  # id of the flow run in which it is played, if it is played as one

    def __call__(self) -> Any:
        """The final state for Prefect, where it is not simply "completed"."""
        try:
            self._body()
            self.ended = True
        except KeyboardInterrupt as interrupt:  # not a crash: a person's wish
            self.error = interrupt
            return Cancelled(message=STOPPED)
        except BaseException as error:
            self.error = error
            raise
        return None


class PrefectStage:
    """Flow runs, tasks and their names in the Prefect UI.

    Bodies are closures over the campaign, and only their names travel to Prefect: its database holds no arrays.
    If Prefect fails where the body has not (server gone, database lost), the body is played without it.
    """

    def __init__(self, api_url: str, campaign: str, stop: Callable[[], None]) -> None:
        """
        Args:
            api_url: of the Prefect API.
            campaign: becomes a tag of every run, to filter by.
            stop: called when somebody has paused a run in the UI.
        """
        self._api_url = api_url
        self._campaign = campaign
        self._stop = stop
        self._heard = -inf  # when it answered last

    def flow(self, name: str, body: Callable[[], None], kind: str) -> None:
        once = _Once(body)

        @flow(name=kind, flow_run_name=name, validate_parameters=False, persist_result=False)
        def shown() -> Any:
            once.flow_run = current_run_id()
            return once()

        with tags(self._campaign):
            self._guard(shown, once, f"{kind} {name}")

    def step(self, kind: str, title: str, body: Callable[[], None], labels: Sequence[str] = ()) -> None:
        once = _Once(body)
        every = [*sorted(TagsContext.get().current_tags), *labels]
        with TagsContext(current_tags=set()):
            self._guard(lambda: _task(kind)(title, every, once), once, f"{kind} {title}")

    def publish(self, view: CampaignView, round: int) -> None:
        if self._answers():
            publish_round(view, round)

    def _answers(self) -> bool:
        """Whether the server is there, asked every few seconds and not for every label."""
        if time.monotonic() - self._heard > HEARD_S:
            if not answers(self._api_url, PATIENCE_S):
                return False
            self._heard = time.monotonic()
        return True

    def _guard(self, shown: Callable[[], Any], once: _Once, what: str) -> None:
        if not self._answers():  # Prefect's client would try for minutes
            self._settle(once)
            return
        try:
            shown()
        except Pause:  # raised between runs, never inside a body
            self._end_paused(once)
            if not once.ended:
                self._stop()
                raise Interrupted from None
        except Exception as error:  # noqa: BLE001 (whatever Prefect raises, the campaign's own work decides)
            if once.error is None:
                log.warning("%s: Prefect did not answer (%s); going on without it", what, type(error).__name__)
        self._settle(once)

    @staticmethod
    def _end_paused(once: _Once) -> None:
        """Only the run of a deployment can be paused; Prefect would show the runs inside it as running for ever."""
        if not once.flow_run:
            return
        state: State[Any] = Completed() if once.ended else Cancelled(message=STOPPED)
        try:
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(UUID(once.flow_run), state, force=True)
        except PREFECT_ERRORS as error:
            log.warning("a paused run still looks as if it ran (%s)", type(error).__name__)

    @staticmethod
    def _settle(once: _Once) -> None:
        """The body has run, or runs now; its own error is what the caller hears of."""
        if not once.ended and once.error is None:
            once()
        if once.error is not None:
            raise once.error from None


@cache
def _task(kind: str) -> Task[[str, Sequence[str], _Once], Any]:
    """The Prefect task that plays bodies of this kind; its runs are named and tagged one by one.

    The tags of a label are given to its run when that has begun. Had it begun with them, Prefect would have asked its
    server for a concurrency limit on them, by a thread and a client for each new set of tags, which live as long as
    the driver: 50 ms of processor time per label here and as much in the server, and a thread more for every label.
    And a label that begins while the server dies would have waited for it for minutes.
    """

    @task(name=kind, task_run_name="{title}", cache_policy=NO_CACHE)
    def played(title: str, labels: Sequence[str], once: _Once) -> Any:
        if (context := TaskRunContext.get()) is not None:
            context.task_run.tags.extend(labels)
        return once()

    return played


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
