"""The arrows between the four packages (docs/architecture.md), and what nobody may import."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: What each package must never import, at the top of a file or inside a function.
FORBIDDEN = {
    "calculators": {"agent", "models", "flows", "prefect"},
    "models": {"agent", "calculators", "flows", "prefect"},
    "agent": {"models", "flows", "prefect", "torch"},
    "flows": set(),
}
#: Of the calculators the agent knows the label and nothing else.
OPEN_TO_AGENT = {"calculators.label"}
#: Readers of formats that run code when they are read.
UNSAFE = re.compile(
    r"((c?pickle|dill|cloudpickle|joblib|marshal)\.(load|loads|Unpickler)|shelve\.open|(pd|pandas)\.read_pickle)"
)


def sources(package):
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"no source in {package}"
    return found


def imports(path):
    """(module, line) of every import in a file, wherever it stands; relative imports as what they mean."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                parts = path.relative_to(ROOT).parts[: -node.level]
                module = ".".join([*parts, module]).strip(".")
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def offences(package, bad):
    return [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources(package)
        for module, line in imports(path)
        if bad(module)
    ]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_arrows_point_one_way(package):
    assert not offences(package, lambda module: module.split(".")[0] in FORBIDDEN[package])


def test_the_agent_knows_only_the_label_of_the_calculators():
    def bad(module):
        return module.split(".")[0] == "calculators" and not any(
            module == allowed or module.startswith(f"{allowed}.") for allowed in OPEN_TO_AGENT
        )

    assert not offences("agent", bad)


def test_only_tests_and_people_import_flows():
    packages = [package for package in FORBIDDEN if package != "flows"]
    assert not [line for package in packages for line in offences(package, lambda m: m.split(".")[0] == "flows")]


def calls(package):
    """(where, what is called, keyword arguments as text) of every call in a package."""
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                said = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                yield f"{path.relative_to(ROOT)}:{node.lineno}", ast.unparse(node.func), said


@pytest.mark.parametrize("package", FORBIDDEN)
def test_nothing_reads_a_pickle(package):
    assert not [where for where, called, _ in calls(package) if UNSAFE.fullmatch(called)]
    assert not offences(package, UNSAFE.fullmatch)  # from pickle import loads


@pytest.mark.parametrize("package", FORBIDDEN)
def test_arrays_and_weights_are_read_without_pickle(package):
    for where, called, said in calls(package):
        if called == "torch.load":
            assert said.get("weights_only") == "True", where
        if called in {"np.load", "numpy.load"}:
            assert said.get("allow_pickle", "False") == "False", where


def test_the_test_sees_what_it_should(tmp_path, monkeypatch):
    """The finder itself: plain, nested, aliased and relative imports."""
    package = tmp_path / "agent"
    package.mkdir()
    (package / "one.py").write_text(
        "import models.graph as g\ndef f():\n    from flows import view\nfrom . import two\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert [module for module, _ in imports(package / "one.py")] == ["models.graph", "agent.two", "flows.view"]
    assert len(offences("agent", lambda module: module.split(".")[0] in FORBIDDEN["agent"])) == 2


@pytest.mark.parametrize("package", ["agent", "calculators", "models"])
def test_nothing_forbidden_comes_in_by_a_back_door(package):
    """Import every module of a package in a fresh interpreter and look at what was loaded on the way.

    Torch is not looked for: modAL-python needs skorch, which imports it. Our own files do not (see above).
    """
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources(package)]
    modules = [name.removesuffix(".__init__") for name in modules if not name.endswith("__main__")]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(' '.join(sorted(set(sys.modules) & {FORBIDDEN[package] - {'torch'}!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
