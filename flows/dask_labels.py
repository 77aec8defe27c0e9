"""Prefect's Dask task runner, the engine of many short labels: every computation is a task on a Dask worker.

Below each round (below the campaign, when it streams) stands one flow run, "labels on Dask", whose task runner is
Prefect's `DaskTaskRunner` on the campaign's cluster, here or in jobs of a scheduler. Prefect shows the computations;
it does not decide whether there are labels (DESIGN.md, rule 1):

- Neither the body of the flow nor a task asks Prefect's server for anything; they only tell it, in the background. So
  labels go on and come back when the server dies in the middle. (Tags that a task run begins with would make it ask
  for concurrency limits on them, and fail with the server; it gets them once it has begun.)
- The runner pickles flow and task for every label, so both are plain functions of this module with text as
  parameters: a campaign, which holds its ledger, could not be pickled.
- Without a flow run around (no Prefect), with one that cannot begin, or for a task that does not bring its label
  back, `submit` and `read` answer None, and the caller goes on with the same cluster without Prefect.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext, TagsContext, TaskRunContext
from prefect.exceptions import ObjectNotFound, Pause
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.states import Cancelled
from prefect_dask import DaskTaskRunner

from calculators.dask_cluster import DaskCluster, Request, compute
from flows.places import STOPPED
from flows.server import answers, configured_api_url

log = logging.getLogger("ionloop")

#: The name of the flow run that holds the labels.
FLOW = "labels on Dask"
#: Seconds between looks at whether the flow run still stands, while it is asked to take a label.
LOOK_S = 0.5
#: How long a busy server may take to answer (s), and how often the flow run asks again (after 2 and 4 s).
PATIENCE_S, RETRIES = 30.0, 2
#: Of tasks: who waits for a server that has gone holds up a worker; and what a label has to say is in its folder.
SETTINGS = {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_LOGGING_TO_API_ENABLED: False}

Arrivals = SimpleQueue[tuple[str, Request, "Future[Any]"] | None]

#: What arrives at the flow runs of this process, by their parameter; not in their scope, which travels to workers.
_ARRIVALS: dict[str, Arrivals] = {}


class DaskLabels:
    """Hands computations to a Dask cluster as tasks of Prefect's task runner."""

    def __init__(self, cluster: DaskCluster) -> None:
        self._cluster = cluster
        self._name = str(cluster.folder)
        self._flow: threading.Thread | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Inside, computations are tasks of a flow run below the one around; without one around they are none."""
        if FlowRunContext.get() is None:
            yield
            return
        arrivals = _ARRIVALS[self._name] = Arrivals()
        self._flow = threading.Thread(target=copy_context().run, args=(self._play,), name=FLOW)
        self._flow.start()
        try:
            yield
        finally:
            arrivals.put(None)
            self._flow.join()
            self._flow = None

    def submit(self, title: str, request: Request) -> Any | None:
        """The Dask future of a task that computes this, or None if Prefect does not take it."""
        if (played := self._flow) is None:
            return None
        answer: Future[Any] = Future()
        _ARRIVALS[self._name].put((title, request, answer))
        while played.is_alive() and not answer.done():
            wait([answer], LOOK_S)
        return answer.result() if answer.done() else None

    @staticmethod
    def read(future: Any) -> str | None:
        """What the task behind a Dask future that is done has brought; None if it, its worker or Prefect failed."""
        if future.status != "finished":
            return None
        text = future.result().result(raise_on_failure=False)
        return text if isinstance(text, str) else None

    def _play(self) -> None:
        if not answers(str(configured_api_url()), PATIENCE_S):
            return
        client = self._cluster.client
        runner: Any = DaskTaskRunner(
            address=client.cluster.scheduler_address, client_kwargs={"security": client.security}
        )
        shown = flow(name=FLOW, task_runner=runner, validate_parameters=False, persist_result=False)(hand_on)
        try:
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: RETRIES}):
                shown(self._name, return_state=True)
        except (Exception, Pause) as error:  # noqa: BLE001 (whatever Prefect raises, the labels themselves go on)
            log.warning("%s: Prefect did not answer (%s); going on without it", FLOW, type(error).__name__)


def hand_on(folder: str) -> Any:
    """The body of the flow run: submits what arrives until nothing more does."""
    tags = sorted(TagsContext.get().current_tags)
    at_work: list[Any] = []
    with TagsContext(current_tags=set()), temporary_settings(SETTINGS):
        for title, request, answer in iter(_ARRIVALS[folder].get, None):
            at_work = [future for future in at_work if not future.wrapped_future.done()]
            try:
                future: Any = _computed.submit(title, tags, request)
            except Exception as error:  # noqa: BLE001 (the label goes on without Prefect)
                log.warning("%s: %s is not shown (%s)", FLOW, title, type(error).__name__)
                answer.set_result(None)
            else:
                at_work.append(future)
                answer.set_result(future.wrapped_future)
    given_up = [future for future in at_work if future.wrapped_future.status in ("pending", "cancelled")]
    _cancel([future.task_run_id for future in given_up])
    return Cancelled(message=STOPPED) if given_up else None


def _cancel(task_runs: Sequence[Any]) -> None:
    """Prefect would show runs whose workers have gone as running for ever."""
    with get_client(sync_client=True) as client:
        for task_run in task_runs:
            try:
                client.set_task_run_state(task_run, Cancelled(message=STOPPED), force=True)
            except ObjectNotFound:  # no worker had begun it
                continue


def computed(title: str, tags: list[str], request: Request) -> str:
    """What runs on a Dask worker as a Prefect task."""
    if (context := TaskRunContext.get()) is not None:
        context.task_run.tags.extend(tags)
    return compute(*request)


_computed = task(name="label on Dask", task_run_name="{title}", cache_policy=NO_CACHE, persist_result=False)(computed)
