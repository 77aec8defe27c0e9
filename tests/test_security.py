"""Secrets stay where they are, shells are not given strings, and nothing listens to the outside unasked."""

import ast
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from flows.config import ConfigError, load_config
from tests.agent.test_ledger import POSTGRES, fresh_postgres_database
from tests.flows.toy import write_toy
from tests.test_imports import FORBIDDEN, ROOT, calls, sources

CANARY = "CANARY-0f3a91c4"
#: Where people keep their secrets.
SECRETS = dict.fromkeys(("MP_API_KEY", "PMG_MAPI_KEY", "LEDGER_PASSWORD", "PGPASSWORD", "OPENAI_API_KEY"), CANARY)


def ionloop(*arguments, cwd):
    environment = os.environ | SECRETS | {"PYTHONPATH": str(ROOT), "IONLOOP_HOME": str(cwd / "home")}
    line = [sys.executable, "-c", "from flows.cli import main; main()", *arguments]
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)


def files_with_the_canary(folder):
    return [path for path in folder.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def rows_with_the_canary(url):
    engine = create_engine(url)
    with engine.connect() as connection:
        found = [
            (table, row)
            for table in inspect(engine).get_table_names()
            for row in connection.execute(text(f'SELECT * FROM "{table}"'))
            if CANARY in str(row)
        ]
    engine.dispose()
    return found


def test_the_canary_would_be_found(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_text(f"password={CANARY}")
    with sqlite3.connect(tmp_path / "a.sqlite") as connection:
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.execute("INSERT INTO t VALUES (?)", [CANARY])
    assert {path.name for path in files_with_the_canary(tmp_path)} == {"file", "a.sqlite"}
    assert rows_with_the_canary(f"sqlite:///{tmp_path / 'a.sqlite'}")


def campaign_on(url, folder, prefect):
    """A whole campaign, its looks and its export, with secrets in the environment; returns all that was printed."""
    write_toy(folder, rounds=1, prefect=prefect, extra=f"\n[ledger]\nurl = {json.dumps(url)}\n")
    said = [ionloop("run", "toy.toml", cwd=folder)]
    assert said[0].returncode == 0, said[0].stderr
    said += [ionloop(command, "toy", cwd=folder) for command in ("status", "history", "rank", "report", "export")]
    return "".join(process.stdout + process.stderr for process in said)


@pytest.mark.skipif(not POSTGRES, reason="IONLOOP_TEST_POSTGRES is not set")
@pytest.mark.parametrize("prefect", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_secret_is_in_ledger_artifacts_reports_or_logs(tmp_path, prefect):
    with fresh_postgres_database() as url:
        shown = make_url(url).set(password="PLACE").render_as_string(hide_password=False)
        printed = campaign_on(shown.replace("PLACE", "$LEDGER_PASSWORD"), tmp_path, prefect)
        assert CANARY not in printed
        assert rows_with_the_canary(url) == []
        assert files_with_the_canary(tmp_path) == []  # the campaign, Prefect's own database and all logs
        down = make_url(url).set(port=1, password=CANARY).render_as_string(hide_password=False)
        (tmp_path / "toy.toml").write_text((tmp_path / "toy.toml").read_text().replace(str(make_url(url).port), "1"))
        refused = ionloop("run", "toy.toml", cwd=tmp_path)
        assert refused.returncode == 2, refused.stderr
        assert CANARY not in refused.stdout + refused.stderr
        assert down not in refused.stderr
        assert files_with_the_canary(tmp_path) == []


def test_a_password_in_the_configuration_is_refused_and_not_repeated(tmp_path):
    path = write_toy(tmp_path, extra=f'\n[ledger]\nurl = "postgresql+psycopg://me:{CANARY}@host/db"\n')
    with pytest.raises(ConfigError, match=r"ledger.url: .*\$NAME") as caught:
        load_config(path)
    assert CANARY not in str(caught.value)


def test_a_password_in_another_wrong_field_is_not_repeated(tmp_path):
    path = write_toy(tmp_path, extra=f'\n[slurm]\ncores = "postgresql://me:{CANARY}@host/db"\n')
    with pytest.raises(ConfigError, match=r"slurm\.cores") as caught:
        load_config(path)
    assert CANARY not in str(caught.value)


SHELLS = re.compile(
    r"os\.(system|popen)|subprocess\.(getoutput|getstatusoutput)|asyncio\.create_subprocess_shell|eval|exec"
)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_shell_is_given_a_string(package):
    for where, called, said in calls(package):
        assert not SHELLS.fullmatch(called), where
        assert said.get("shell", "False") == "False", where


def strings(package):
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_default_listens_on_every_interface(package):
    assert not [where for where, value in strings(package) if value in {"0.0.0.0", "::"}]


def listening_on(port: int) -> set[str]:
    """Addresses (hexadecimal, as the kernel writes them) on which something listens at this port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return {line[1].split(":")[0] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "0A"}


@pytest.mark.slow
def test_the_prefect_server_listens_on_loopback_only(tmp_path, monkeypatch):
    from flows.server import ServerError, local_server

    monkeypatch.setenv("IONLOOP_HOME", str(tmp_path))
    with local_server() as server:
        assert listening_on(server.port) == {"0100007F"}
        with (
            pytest.raises(ServerError, match=r"listens on 127\.0\.0\.1:\d+, not on 0\.0\.0\.0"),
            local_server(None, "0.0.0.0"),
        ):
            pass


@pytest.mark.slow
def test_a_person_may_tell_it_otherwise_and_is_warned(tmp_path):
    from flows.server import answers

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-c",
        "from flows.cli import main; main()",
        "ui",
        "--host",
        "0.0.0.0",
        "--port",
        str(port),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "IONLOOP_HOME": str(tmp_path), "COLUMNS": "100"}
    environment.pop("PREFECT_API_URL", None)
    ui = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    told = ""
    while "press Ctrl-C" not in told:
        line = ui.stdout.readline()
        assert line, told
        told += line
    try:
        assert listening_on(port) == {"00000000"}
        assert answers(f"http://127.0.0.1:{port}/api")
        assert f"Prefect UI: http://127.0.0.1:{port}/v2" in told
        assert f"warning: the server listens on 0.0.0.0, port {port}: whoever reaches this machine" in told
    finally:
        ui.send_signal(signal.SIGINT)
        assert ui.wait(60) == 0
    assert not listening_on(port)


def test_an_address_that_is_none_of_ours_is_refused(tmp_path):
    from flows.server import Server, ServerError, is_loopback, local_server

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IONLOOP_HOME", str(tmp_path))
        with pytest.raises(ServerError, match=r"nothing can listen on 192\.0\.2\.1"), local_server(None, "192.0.2.1"):
            pass
    assert [is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "my-machine")] == [False] * 4
    assert Server(1, 80, "::").api_url == "http://[::1]:80/api"
    assert Server(1, 80, "my-machine").ui_url == "http://my-machine:80/v2"
