"""The ledger on SQLite always, and on PostgreSQL where IONLOOP_TEST_POSTGRES holds a URL: the same tests."""

import math
import multiprocessing
import os
import resource
import signal
import sqlite3
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url

from agent.ledger import Ledger, LedgerError, NewProposal, Ranked, SentJob
from agent.schema import SCHEMA_VERSION, Meta
from calculators.label import Failure, FailureKind, Hop, Label

POSTGRES = os.environ.get("IONLOOP_TEST_POSTGRES")
fork = multiprocessing.get_context("fork")


@contextmanager
def fresh_postgres_database():
    """A database of its own on the server of IONLOOP_TEST_POSTGRES, dropped afterwards."""
    server = make_url(POSTGRES)
    name = f"ionloop_test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.skipif(not POSTGRES, reason="IONLOOP_TEST_POSTGRES is not set")),
    ]
)
def url(request, tmp_path):
    """URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    else:
        with fresh_postgres_database() as made:
            yield made


@pytest.fixture
def ledger(url):
    opened = Ledger.open(url)
    opened.create_campaign("one", "nzsp", "chgnet-neb", 7, {"campaign": {"name": "one"}})
    yield opened
    opened.close()


def proposal(key="a" * 32, composition="nzsp:Sn8+4:12", **changes):
    facts = {
        "composition": composition,
        "formula": "Na3Sn2Si2PO12",
        "ordering": 0,
        "calculator": "chgnet",
        "label_key": key,
        "reason": "lowest LCB",
        "cluster": 3,
        "mean_eV": 0.31,
        "sigma_eV": 0.02,
        "score": -0.29,
    }
    return NewProposal(**(facts | changes))


def a_label(key="a" * 32, value=0.3, **changes):
    facts = {"key": key, "fidelity": "chgnet-neb", "value_eV": value, "converged": True, "force_calls": 130}
    return Label(**(facts | changes))


def a_failure(kind, key="a" * 32):
    return Label(key=key, fidelity="chgnet-neb", failure=Failure(kind=kind, reason="a reason", stage="neb"))


def begin(ledger, *proposals, campaign="one", number=1):
    ledger.begin_round(campaign, number, proposals or [proposal()], "round")
    return [row.id for row in ledger.proposals(campaign, number)]


# --- write-ahead and the life of a proposal ------------------------------------------------------------------


def test_a_round_and_its_proposals_are_there_before_anything_runs(ledger, url):
    begin(ledger, proposal(), proposal("b" * 32, "nzsp:Zr8+4:12"))
    other = Ledger.open(url)  # another process would see the same
    assert [row.rank for row in other.proposals("one", 1)] == [0, 1]
    assert other.round("one", 1).state == "proposed"
    assert other.counts("one") == {"pending": 2}
    assert [e.text for e in other.events("one", "decision")] == ["round"]
    row = other.proposals("one", 1)[0]
    assert (row.mean_eV, row.sigma_eV, row.cluster, row.reason) == (0.31, 0.02, 3, "lowest LCB")
    other.close()


def test_a_round_that_cannot_be_proposed_whole_is_not_begun(ledger):
    def broken():
        yield proposal()
        raise KeyError("the third candidate")

    with pytest.raises(KeyError):
        ledger.begin_round("one", 1, broken(), "round")
    assert ledger.round("one", 1) is None
    assert not ledger.proposals("one")
    assert not ledger.events("one")


def test_a_label_ends_its_attempt_and_its_proposal(ledger):
    (one,) = begin(ledger)
    attempt = ledger.start_attempt(one, "a" * 32, "chgnet", "/somewhere")
    assert ledger.attempts("one")[0].state == "running"
    ledger.finish_attempt(attempt, a_label(folder="/elsewhere"))
    assert ledger.proposal(one).state == "labelled"
    done = ledger.attempts("one", one)[0]
    assert (done.state, done.folder, done.failure_kind) == ("succeeded", "/elsewhere", "")
    assert done.ended >= done.started
    assert ledger.label("a" * 32) == a_label(folder="/elsewhere")
    assert [(p.id, lab.value_eV) for p, lab in ledger.labels("one", "chgnet-neb")] == [(one, 0.3)]
    assert ledger.labels("one", "vasp-neb") == []


@pytest.mark.parametrize("kind", list(FailureKind))
def test_only_an_invalid_verdict_is_remembered_as_a_label(ledger, kind):
    (one,) = begin(ledger)
    ledger.finish_attempt(ledger.start_attempt(one, "a" * 32, "chgnet", ""), a_failure(kind))
    assert (ledger.label("a" * 32) is not None) is (kind is FailureKind.INVALID)
    assert ledger.proposal(one).state == "pending"
    assert ledger.count_attempts(one, "a" * 32, "failed") == 1
    assert ledger.attempts("one")[0].failure_kind == kind.value
    ledger.fail_proposal(one)
    assert ledger.counts("one") == {"failed": 1}
    assert ledger.labels("one") == []


def test_a_fallback_label_has_its_own_key(ledger):
    (one,) = begin(ledger)
    ledger.finish_attempt(ledger.start_attempt(one, "a" * 32, "chgnet", ""), a_failure(FailureKind.INVALID))
    fallback = a_label("b" * 32, 0.8, fidelity="bvse")
    ledger.finish_attempt(ledger.start_attempt(one, "b" * 32, "bvse", ""), fallback)
    assert ledger.proposal(one).label_key == "b" * 32
    ((_, row),) = ledger.labels("one")
    assert row.fidelity == "bvse"


def test_attempts_of_a_dead_driver_are_lost_but_not_failed(ledger):
    ledger.create_campaign("two", "nzsp", "chgnet-neb", 0, {})
    (mine,) = begin(ledger)
    (other,) = begin(ledger, campaign="two")
    ledger.start_attempt(mine, "a" * 32, "chgnet", "")
    ledger.start_attempt(other, "a" * 32, "chgnet", "")
    assert ledger.close_lost_attempts("one") == 1
    assert [a.state for a in ledger.attempts("one")] == ["lost"]
    assert [a.state for a in ledger.attempts("two")] == ["running"]
    assert ledger.count_attempts(mine, "a" * 32, "failed") == 0
    assert ledger.close_lost_attempts("one") == 0


def test_the_ids_of_a_schedulers_jobs_are_kept_once_each_in_the_order_in_which_they_came(ledger):
    ledger.create_campaign("two", "nzsp", "chgnet-neb", 0, {})
    one, two = begin(ledger, proposal(), proposal("b" * 32, "nzsp:Zr8+4:12"))
    (other,) = begin(ledger, campaign="two")
    array = [SentJob(one, "12_0", "a" * 32, "vasp"), SentJob(two, "12_1", "b" * 32, "vasp")]
    ledger.note_jobs(array)
    ledger.note_jobs([SentJob(other, "12_0", "a" * 32, "vasp")])  # both wait for the same job
    ledger.note_jobs([*array, SentJob(one, "13", "c" * 32, "chgnet")])  # found again, and a fallback
    assert [(job.proposal, job.id) for job in ledger.jobs("one")] == [(one, "12_0"), (two, "12_1"), (one, "13")]
    assert [(job.label_key, job.calculator) for job in ledger.jobs("one")][2] == ("c" * 32, "chgnet")
    ledger.fail_proposal(one)
    assert [job.id for job in ledger.jobs("one", "pending")] == ["12_1"]
    assert [job.proposal for job in ledger.jobs("two")] == [other]
    ledger.note_jobs([])


def test_a_retrained_round_replaces_the_ranking(ledger):
    begin(ledger)
    line = Ranked("nzsp:Sn8+4:12", "Na3Sn2Si2PO12", 3, 0.3, 0.02, "prediction", 4)
    ledger.finish_round("one", 1, {"mae_eV": 0.05, "r2": None}, [line, line], "done")
    ledger.begin_round("one", 2, [], "second")
    ledger.finish_round("one", 2, {}, [line], "done")
    assert [(row.rank, row.round) for row in ledger.ranking("one")] == [(1, 2)]
    first = ledger.round("one", 1)
    assert first.state == "done"
    assert first.metrics == {"mae_eV": 0.05, "r2": None}
    assert first.ended >= first.started


def test_states_configurations_runs_and_events(ledger):
    (one,) = begin(ledger)
    ledger.link_run("one", 1, "run-of-the-round")
    ledger.link_run("one", 1, "run-of-the-label", one)
    assert ledger.round("one", 1).prefect_run == "run-of-the-round"
    assert ledger.proposal(one).prefect_run == "run-of-the-label"
    ledger.set_campaign_config("one", {"x": [1, None, "ü"]}, "batch 2 -> 4")
    ledger.set_campaign_state("one", "stopped", "circuit breaker")
    row = ledger.campaign("one")
    assert (row.state, row.stop_reason, row.config) == ("stopped", "circuit breaker", {"x": [1, None, "ü"]})
    assert row.ended is not None
    ledger.set_campaign_state("one", "running")
    assert ledger.campaign("one").ended is None
    ledger.log("one", "exclude", "Pb is toxic", who="ada", element="Pb")
    (logged,) = ledger.events("one", "exclude")
    assert (logged.who, logged.data) == ("ada", {"element": "Pb"})
    assert [row.name for row in ledger.campaigns()] == ["one"]
    with pytest.raises(LedgerError, match="no proposal 999"):
        ledger.proposal(999)


def test_rows_stay_readable_after_the_ledger_is_closed(ledger):
    begin(ledger)
    rows = ledger.proposals("one")
    ledger.close()
    assert rows[0].formula == "Na3Sn2Si2PO12"


# --- a label is paid for once ---------------------------------------------------------------------------------


def test_a_known_label_is_never_computed_again_by_any_campaign(ledger):
    (one,) = begin(ledger)
    ledger.finish_attempt(ledger.start_attempt(one, "a" * 32, "chgnet", ""), a_label())
    bad = a_failure(FailureKind.INVALID, "b" * 32)
    ledger.add_label(bad, "nzsp:Zr8+4:12", 0)
    ledger.create_campaign("two", "nzsp", "chgnet-neb", 0, {})
    begin(ledger, proposal(), proposal("b" * 32), proposal("c" * 32), campaign="two")
    assert [row.state for row in ledger.proposals("two")] == ["labelled", "failed", "pending"]
    assert ledger.attempts("two") == []
    late = ledger.proposals("two", state="pending")[0].id
    ledger.adopt_label(late, "a" * 32)
    assert ledger.proposal(late).state == "labelled"
    assert len(ledger.labels("two")) == 2


def test_the_first_label_of_a_key_stays(ledger):
    ledger.add_label(a_label(value=0.3), "nzsp:Sn8+4:12", 0)
    ledger.add_label(a_label(value=0.9), "nzsp:Sn8+4:12", 0)
    assert ledger.label("a" * 32).value_eV == 0.3


def test_many_threads_with_the_same_labels_store_each_once(ledger):
    """Labels land from many threads at once; two campaigns may finish the same work in the same moment."""
    ids = begin(ledger, *[proposal(f"{i % 4:032x}", f"nzsp:Sn{i}+4:12") for i in range(32)])
    attempts = [ledger.start_attempt(one, f"{i % 4:032x}", "chgnet", "") for i, one in enumerate(ids)]
    ready = threading.Barrier(8)

    def finish(part):
        ready.wait()
        for i in range(part, 32, 8):
            ledger.finish_attempt(attempts[i], a_label(f"{i % 4:032x}"))

    with ThreadPoolExecutor(8) as threads:
        for future in [threads.submit(finish, part) for part in range(8)]:
            future.result()
    assert ledger.counts("one") == {"labelled": 32}
    assert len({row.key for _, row in ledger.labels("one")}) == 4


def test_readers_and_writers_do_not_disturb_each_other(ledger, url):
    """Another process (`status --watch`) reads while labels land: it never waits, fails or sees half a round."""
    stop, seen, errors = threading.Event(), [], []

    def read():
        reader = Ledger.open(url)
        try:
            while not stop.is_set():
                rounds = {row.number for row in reader.rounds("one")}
                counted = len(reader.proposals("one"))
                seen.append((len(rounds), counted))
                assert counted >= 4 * len(rounds)  # the rounds were read first
        except (LedgerError, AssertionError) as error:
            errors.append(error)
        finally:
            reader.close()

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 26):
        begin(ledger, *[proposal(f"{number * 4 + i:032x}") for i in range(4)], number=number)
    stop.set()
    for reader in readers:
        reader.join()
    assert not errors
    assert seen


label_texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=40)
finite = st.floats(allow_nan=False, allow_infinity=False)
extras = st.dictionaries(label_texts, finite)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=finite, path=st.lists(finite, max_size=9), reason=label_texts, extra=st.dictionaries(label_texts, finite)
)
def test_labels_come_back_as_they_went_in(ledger, value, path, reason, extra):
    hop = Hop(atom=1, target_A=[0.0, 1.0, 2.0], length_A=3.4, name=reason, path_A=path, path_eV=path)
    label = a_label(uuid.uuid4().hex, value, hops=[hop], extra=extra, provenance={"note": reason})
    ledger.add_label(label, "nzsp:Sn8+4:12", 0)
    assert ledger.label(label.key) == label


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_no_number_is_an_invalid_verdict(ledger, value):
    (one,) = begin(ledger)
    recorded = ledger.finish_attempt(ledger.start_attempt(one, "a" * 32, "chgnet", ""), a_label(value=value))
    assert recorded.failure.kind is FailureKind.INVALID
    assert str(value) in recorded.failure.reason
    assert ledger.label("a" * 32) == recorded
    assert ledger.proposal(one).state == "pending"
    assert ledger.attempts("one")[0].state == "failed"


def test_numbers_that_are_missing_inside_a_label_are_stored_on_every_database(ledger):
    hop = Hop(atom=1, target_A=[0.0, 1.0, 2.0], length_A=3.4, path_eV=[0.0, float("nan")], fmax_eV_per_A=float("inf"))
    ledger.add_label(a_label(hops=[hop], extra={"E_3D_eV": float("nan")}), "nzsp:Sn8+4:12", 0)
    back = ledger.label("a" * 32)
    assert back.value_eV == 0.3
    assert math.isnan(back.hops[0].path_eV[1])
    assert back.hops[0].fmax_eV_per_A == math.inf


# --- kill -9, full disk, lost server --------------------------------------------------------------------------


def story(ledger):
    """Everything that a round writes, in the order in which a driver writes it."""
    begin(ledger, proposal(), proposal("b" * 32, "nzsp:Zr8+4:12"), number=1)
    for row in ledger.proposals("one", state="pending"):
        attempt = ledger.start_attempt(row.id, row.label_key, "chgnet", "")
        ledger.finish_attempt(attempt, a_label(row.label_key))
    line = Ranked("nzsp:Sn8+4:12", "Na3Sn2Si2PO12", 3, 0.3, 0.02, "label", 1)
    ledger.finish_round("one", 1, {"mae_eV": 0.1}, [line], "done")


def check_whole(ledger):
    """No half of anything: what is there is there with everything that belongs to it."""
    round_ = ledger.round("one", 1)
    rows = ledger.proposals("one")
    assert len(rows) == (0 if round_ is None else 2)
    attempts = {a.proposal: a for a in ledger.attempts("one")}
    for row in rows:
        labelled = row.state == "labelled"
        assert (ledger.label(row.label_key) is not None) is labelled
        assert (row.id in attempts and attempts[row.id].state == "succeeded") is labelled
    done = round_ is not None and round_.state == "done"
    assert len(ledger.ranking("one")) == done
    assert bool(round_ and round_.metrics) is done
    return done


def run_and_die(url, statement, after):
    """Child process: play the story and kill itself with SIGKILL before or after its n-th SQL statement."""
    ledger = Ledger.open(url)
    count = 0

    def strike(*_args):
        nonlocal count
        count += 1
        if count == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(ledger.engine, "after_cursor_execute" if after else "before_cursor_execute", strike)
    story(ledger)
    os._exit(0)


@pytest.mark.parametrize("after", [False, True])
def test_kill_9_at_every_statement_leaves_nothing_half_written(url, after):
    with_campaign = Ledger.open(url)
    with_campaign.create_campaign("one", "nzsp", "chgnet-neb", 0, {})
    with_campaign.close()
    killed = 0
    for statement in range(1, 100):
        child = fork.Process(target=run_and_die, args=(url, statement, after))
        child.start()
        child.join()
        ledger = Ledger.open(url)
        done = check_whole(ledger)
        if child.exitcode == 0:
            assert done
            break
        assert child.exitcode == -signal.SIGKILL
        killed += 1
        _forget(ledger)
        ledger.close()
    else:
        pytest.fail("the story never ended")
    assert killed > 15
    ledger.close()


def _forget(ledger):
    """Empty everything but the campaign, so that the next victim starts from the same place."""
    with ledger.transaction() as session:
        for table in ("attempts", "proposals", "rounds", "predictions", "labels", "events"):
            session.execute(text(f"DELETE FROM {table}"))


def fill_until_full(path, results):
    """Child process that may not write files of more than a few hundred kB: as a full disk answers."""
    ledger = Ledger.open(path)
    size = path.stat().st_size
    limit = size + 300_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    number = 0
    try:
        for number in range(1, 2000):
            begin(ledger, *[proposal(f"{number * 4 + i:032x}") for i in range(4)], number=number)
    except LedgerError as error:
        results.put((number, str(error)))
    else:
        results.put((number, "never full"))


def test_a_full_disk_is_one_clear_error_and_loses_nothing(tmp_path):
    path = tmp_path / "ledger.sqlite"
    first = Ledger.open(path)
    first.create_campaign("one", "nzsp", "chgnet-neb", 0, {})
    first.close()
    results = fork.Queue()
    child = fork.Process(target=fill_until_full, args=(path, results))
    child.start()
    failed_at, message = results.get(timeout=60)
    child.join()
    assert "ledger could not be read or written" in message
    assert "\n" not in message
    ledger = Ledger.open(path)  # now there is room again
    rounds = [row.number for row in ledger.rounds("one")]
    assert rounds == list(range(1, failed_at))
    assert len(ledger.proposals("one")) == 4 * len(rounds)
    begin(ledger, number=failed_at)
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def write_while_the_server_goes(ledger):
    with ledger.transaction() as session:
        session.add(Meta(key="half", value="written"))
        session.flush()
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with create_engine(POSTGRES, isolation_level="AUTOCOMMIT").connect() as admin:
            admin.execute(text(f"SELECT pg_terminate_backend({pid})"))
        session.execute(text("SELECT 1"))


@pytest.mark.skipif(not POSTGRES, reason="IONLOOP_TEST_POSTGRES is not set")
def test_a_lost_server_connection_is_a_clear_error_and_the_next_transaction_works():
    with fresh_postgres_database() as url:
        ledger = Ledger.open(url)
        ledger.create_campaign("one", "nzsp", "chgnet-neb", 0, {})
        with pytest.raises(LedgerError, match="could not be read or written"):
            write_while_the_server_goes(ledger)
        begin(ledger)
        with ledger.transaction() as session:
            assert session.get(Meta, "half") is None
        ledger.close()


# --- opening --------------------------------------------------------------------------------------------------


def test_opening_twice_changes_nothing(ledger, url):
    begin(ledger)
    again = Ledger.open(url)
    assert len(again.proposals("one")) == 1
    again.close()


def test_a_newer_ledger_is_refused_and_left_alone(ledger, url):
    with ledger.transaction() as session:
        session.get_one(Meta, "schema_version").value = str(SCHEMA_VERSION + 1)
    with pytest.raises(LedgerError, match="written by a newer ionloop"):
        Ledger.open(url)
    assert len(ledger.campaigns()) == 1


def test_a_database_of_something_else_is_refused_and_left_alone(url):
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE recipes (cake TEXT)"))
    with pytest.raises(LedgerError, match="holds other tables"):
        Ledger.open(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM recipes")).scalar_one() == 0
    engine.dispose()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_text("These are my notes about sodium, not a database at all. " * 20)
    with pytest.raises(LedgerError, match="no SQLite database"):
        Ledger.open(path)
    assert path.read_text().startswith("These are my notes")


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "ledger.sqlite", tmp_path):
        with pytest.raises(LedgerError, match="cannot be"):
            Ledger.open(place)


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://user:CANARY@127.0.0.1:1/none", "mysql://u:CANARY@h/x", "rubbish://"]
)
def test_a_server_that_cannot_be_reached_is_named_without_its_password(url):
    with pytest.raises(LedgerError) as caught:
        Ledger.open(url)
    assert "CANARY" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.open(path)
    ledger.create_campaign("one", "nzsp", "chgnet-neb", 0, {})
    ledger.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LedgerError):
        read_everything(path)


def read_everything(path):
    ledger = Ledger.open(path)
    for read in (ledger.proposals, ledger.labels, ledger.events, ledger.ranking, ledger.attempts, ledger.rounds):
        read("one")


def open_and_die(url, statement):
    """Child process: kill itself with SIGKILL before the n-th SQL statement of opening a ledger."""
    count = 0

    def strike(*_args):
        nonlocal count
        count += 1
        if count == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", strike)
    Ledger.open(url)
    os._exit(0)


def test_kill_9_while_the_tables_are_made_leaves_a_database_that_opens(url):
    for statement in range(1, 200):
        child = fork.Process(target=open_and_die, args=(url, statement))
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        _drop_everything(url)
    assert statement > 10
    ledger = Ledger.open(url)
    assert not ledger.campaigns()
    ledger.close()


def _drop_everything(url):
    """Start over from an empty database, whatever the last victim left (always: all tables, or none)."""
    engine = create_engine(url)
    names = inspect(engine).get_table_names()
    assert names == [] or "meta" in names
    with engine.begin() as connection:
        for name in names:
            connection.execute(text(f"DROP TABLE {name}" + (" CASCADE" if "postgres" in url else "")))
    engine.dispose()


def test_many_processes_may_create_the_same_ledger(url):
    children = [fork.Process(target=open_and_die, args=(url, -1)) for _ in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 8
