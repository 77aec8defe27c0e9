"""Ledgers of older versions, as SQL text written by the ionloop of the time, become today's and lose nothing."""

import re
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from agent import database, migrations
from agent.ledger import Ledger, LedgerError, SentJob
from agent.schema import SCHEMA_VERSION, Base
from tests.agent.test_ledger import POSTGRES, fork, fresh_postgres_database, open_and_die, url

DATA = Path(__file__).parent / "data"
__all__ = ["url"]  # the fixture: an empty SQLite file, and an empty PostgreSQL database where there is a server


def dump(version, backend):
    """A ledger as the ionloop of that version left it, rows in every table."""
    return DATA / f"ledger-v{version}.{backend}.sql"


def write_old(url, version):
    """Play the dump of an older ledger into an empty database."""
    script = dump(version, make_url(url).get_backend_name()).read_text(encoding="utf-8")
    if url.startswith("sqlite"):
        with sqlite3.connect(make_url(url).database) as connection:
            connection.executescript(script)
        return
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(script)


@pytest.fixture(params=range(1, SCHEMA_VERSION))
def version(request):
    return request.param


@pytest.fixture
def old(url, version):
    write_old(url, version)
    return url


def rows(url, version):
    """Every row of the tables and columns that a version had."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            name: connection.execute(text(f"SELECT {columns} FROM {name} ORDER BY 1, 2")).all()
            for name, columns in columns_of(version).items()
        }
    engine.dispose()
    return found


def columns_of(version):
    script = dump(version, "sqlite").read_text(encoding="utf-8")
    tables = re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", script, flags=re.S)
    named = {name: re.findall(r"^\s+\"?([a-z]\w*)\"? [A-Z]", body, flags=re.M) for name, body in tables}
    return {name: ", ".join(f'"{column}"' for column in columns) for name, columns in named.items() if name != "meta"}


def test_a_migrated_ledger_has_todays_tables_and_yesterdays_rows(old, version):
    before = rows(old, version)
    assert len(before) >= 7
    assert all(before.values()), "the fixture has rows in every table"
    ledger = Ledger.open(old)
    with ledger.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert connection.scalar(text("SELECT value FROM meta")) == str(SCHEMA_VERSION)
    assert rows(old, version) == before
    ledger.close()


def test_a_migrated_ledger_is_used_like_a_new_one(old, version):
    outcomes = [] if version == 1 else ["impurities"]
    ledger = Ledger.open(old)
    (campaign,) = ledger.campaigns()
    assert campaign.driven_s >= 0
    for attempt in ledger.attempts("synthetic"):
        if attempt.state in {"lost", "running"}:
            assert attempt.seconds is None
        else:  # version 1 knew the wall clock alone
            assert attempt.seconds == pytest.approx((attempt.ended - attempt.started).total_seconds(), abs=0.1)
    first = ledger.proposals("synthetic")[0]
    ledger.add_synthesis_outcome("synthetic", first.composition, first.formula, "pure", "ada", "900 °C, 12 h")
    *earlier, outcome = ledger.synthesis_outcomes()
    assert [one.outcome for one in earlier] == outcomes
    assert (outcome.composition, outcome.outcome, outcome.who) == (first.composition, "pure", "ada")
    assert outcome.note == "900 °C, 12 h"
    ledger.note_jobs([SentJob(first.id, "12_3", first.label_key, first.calculator)])
    assert [(job.proposal, job.id) for job in ledger.jobs("synthetic")] == [(first.id, "12_3")]
    ledger.begin_round("synthetic", 3, [], "round 3")  # ids go on where they were
    ledger.close()


def test_a_copy_of_the_file_stays_beside_it(tmp_path, version):
    path = tmp_path / "ledger.sqlite"
    url = f"sqlite:///{path}"
    write_old(url, version)
    before = rows(url, version)
    Ledger.open(path).close()
    copy = tmp_path / f"ledger.sqlite.v{version}"
    assert rows(f"sqlite:///{copy}", version) == before
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT value FROM meta").fetchall() == [(str(version),)]
    kept = copy.stat().st_mtime_ns
    Ledger.open(path).close()
    assert copy.stat().st_mtime_ns == kept, "there is nothing to migrate the second time"


def test_kill_9_at_every_statement_of_a_migration_leaves_the_old_ledger_or_the_new_one(old, version):
    before = rows(old, version)
    for statement in range(1, 200):
        child = fork.Process(target=open_and_die, args=(old, statement))
        child.start()
        child.join()
        engine = create_engine(old)
        with engine.connect() as connection:
            found = connection.scalar(text("SELECT value FROM meta"))
        has_new = "jobs" in inspect(engine).get_table_names()
        engine.dispose()
        assert has_new == (found == str(SCHEMA_VERSION))
        if child.exitcode == 0:
            break
        assert found == str(version)
    assert statement > 5
    assert found == str(SCHEMA_VERSION)
    assert rows(old, version) == before


def test_many_processes_may_open_the_same_old_ledger(old):
    children = [fork.Process(target=open_and_die, args=(old, -1)) for _ in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 8
    Ledger.open(old).close()


def test_every_version_has_a_step_and_a_ledger_of_its_time():
    assert sorted(migrations.STEPS) == list(range(2, SCHEMA_VERSION + 1))
    for version in range(1, SCHEMA_VERSION):
        for backend in database.BACKENDS:
            assert dump(version, backend).is_file()


@pytest.mark.skipif(not POSTGRES, reason="IONLOOP_TEST_POSTGRES is not set")
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_postgresql_of_another_encoding_is_one_clear_line(encoding):
    with fresh_postgres_database() as url:
        server = make_url(url)
        name = f"{server.database}_other"
        admin = create_engine(url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            locale = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
            connection.execute(text(f"CREATE DATABASE {name} {locale}"))
        try:
            with pytest.raises(LedgerError, match=f"encoding is {encoding}, a ledger needs UTF8") as caught:
                Ledger.open(server.set(database=name, password="CANARY").render_as_string(hide_password=False))
            assert "\n" not in str(caught.value)
            assert "CANARY" not in str(caught.value)
        finally:
            with admin.connect() as connection:
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
            admin.dispose()


def test_a_table_named_meta_is_not_yet_a_ledger(url):
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE meta (key VARCHAR(64), value TEXT)"))
    engine.dispose()
    with pytest.raises(LedgerError, match="no ledger's"):
        Ledger.open(url)


@pytest.mark.parametrize("bad", ["postgresql+psycopg://user:CANARY@host:port/x", "://user:CANARY@host/x"])
def test_an_url_that_cannot_be_read_is_not_shown(bad):
    with pytest.raises(LedgerError, match="cannot be read") as caught:
        Ledger.open(bad)
    assert "CANARY" not in str(caught.value)
