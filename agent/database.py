"""The database behind a ledger: opened by URL, created when empty, brought up to date when older."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, insert, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from agent.schema import SCHEMA_VERSION, Base, Meta

#: The databases that a ledger can live in.
BACKENDS = ("sqlite", "postgresql")
#: Statements by which one process at a time may create or change the tables.
ONE_BUILDER = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(7136112)"}


class LedgerError(RuntimeError):
    """The ledger cannot be used, for a reason a person can act on."""


class LedgerLost(LedgerError):
    """The database server has gone away, perhaps only for a restart; nothing was written by halves."""


def open_database(url: str | Path) -> Engine:
    """The engine behind a ledger whose tables are those of `agent.schema`.

    Args:
        url: an SQLAlchemy URL, or the path of an SQLite file.

    Raises:
        LedgerError: unreachable, not a ledger, written by a newer ionloop, or a database that cannot keep our text.
    """
    parsed = _parse(url)
    shown = parsed.render_as_string(hide_password=True)
    try:
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, pool_pre_ping=True)
    except ImportError as error:
        raise LedgerError(f"ledger {shown}: {error}; `pip install 'ionloop[postgres]'` brings it") from error
    except OSError as error:
        raise LedgerError(f"ledger {shown}: its folder cannot be made ({error})") from error
    greet = {"sqlite": _set_pragmas, "postgresql": _check_encoding}[engine.dialect.name]
    event.listen(engine, "connect", greet, insert=True)  # before SQLAlchemy's own first questions
    try:
        _prepare(engine)
    except DBAPIError as error:
        if "not a database" in str(error):
            raise LedgerError(f"ledger {shown}: this file is no SQLite database") from error
        raise LedgerError(f"ledger {shown}: cannot be opened ({first_line(error)})") from error
    except LedgerError as error:
        engine.dispose()
        raise LedgerError(f"ledger {shown}: {error}") from error.__cause__
    return engine


def insert_unless_known(backend: str) -> Any:
    """A database's own INSERT, which knows "unless it is there already"."""
    return import_module(f"sqlalchemy.dialects.{backend}").insert


def ledger_error(error: DBAPIError) -> LedgerError:
    """What a database's complaint means to a person; a server that went away is a `LedgerLost`."""
    lost = error.connection_invalidated or type(error.orig).__module__.startswith("psycopg")
    kind = LedgerLost if lost and isinstance(error, OperationalError | InterfaceError) else LedgerError
    return kind(f"the ledger could not be read or written: {first_line(error)}")


def first_line(error: Exception) -> str:
    """What the database said, without the SQL that SQLAlchemy adds."""
    return str(error.__cause__ or error).splitlines()[0]


def _parse(url: str | Path) -> URL:
    allowed = "the path of an SQLite file, sqlite:///... or postgresql+psycopg://..."
    try:
        parsed = make_url(str(url) if "://" in str(url) else f"sqlite:///{Path(url).absolute()}")
    except (ArgumentError, ValueError) as error:  # its message would show the password
        raise LedgerError(f"this ledger's URL cannot be read; allowed: {allowed}") from error
    if parsed.get_backend_name() not in BACKENDS:
        raise LedgerError(f"ledger {parsed.render_as_string(hide_password=True)}: give {allowed}")
    return parsed


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _check_encoding(connection: Any, _record: Any) -> None:
    """SQL_ASCII hands out bytes and LATIN1 knows no "±": both fail late and strangely, so they are refused here."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise LedgerError(
            f"this database's encoding is {encoding}, a ledger needs UTF8; "
            "make another one: createdb --encoding=UTF8 --template=template0 NAME"
        )


def _prepare(engine: Engine) -> None:
    """Create the tables of an empty database; check the version of a ledger, and migrate an older one."""
    if not inspect(engine).get_table_names():
        _create(engine)
    if "meta" not in inspect(engine).get_table_names():
        raise LedgerError("this database holds other tables and no ledger; give another one")
    with Session(engine) as session:
        row = session.get(Meta, "schema_version")
    if row is None:
        raise LedgerError("this database has a table named meta, but it is no ledger's; give another one")
    version = int(row.value)
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"written by a newer ionloop (schema {version}, this one knows {SCHEMA_VERSION}); update ionloop"
        )
    if version < SCHEMA_VERSION:
        from agent.migrations import migrate  # Alembic is a quarter of a second that only an old ledger needs

        migrate(engine)


def _create(engine: Engine) -> None:
    """Create all tables in one transaction, whoever else tries the same and whatever kills us."""
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql(ONE_BUILDER[engine.dialect.name])
        if not inspect(connection).get_table_names():
            Base.metadata.create_all(connection)
            connection.execute(insert(Meta).values(key="schema_version", value=str(SCHEMA_VERSION)))
