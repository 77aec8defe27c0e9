"""Renew constraints.txt: every package that an installation brings, pinned.

    python .ci/constraints.py             keep what is pinned, drop what nobody needs any more, add what is missing
    python .ci/constraints.py --upgrade   resolve everything anew: the monthly renewal; then run the tests

pip resolves without installing anything, so nothing of the environment it runs in gets into the file.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "constraints.txt"
EXTRAS = "dev,docs,postgres,vasp"
#: What only PyTorch's CUDA wheels bring: a CPU installation must not be told to want it.
CUDA = re.compile(r"^(nvidia|cuda|triton)")


def resolve(upgrade: bool) -> dict[str, str]:
    """Versions by name, as pip would install them into an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
        command += ["--ignore-installed", "--report", str(report), f"{ROOT}[{EXTRAS}]"]
        if not upgrade:
            command += ["--constraint", str(FILE)]
        subprocess.run(command, check=True)
        found = [one["metadata"] for one in json.loads(report.read_text())["install"]]
    versions = {one["name"]: one["version"].partition("+")[0] for one in found}
    return {name: version for name, version in versions.items() if name != "ionloop" and not CUDA.match(name.lower())}


def main() -> None:
    versions = resolve("--upgrade" in sys.argv[1:])
    before = set(FILE.read_text().split())
    after = [f"{name}=={versions[name]}" for name in sorted(versions, key=str.lower)]
    FILE.write_text("\n".join(after) + "\n")
    for line in sorted(before - set(after)):
        print(f"- {line}")
    for line in sorted(set(after) - before):
        print(f"+ {line}")
    print(f"{FILE.name}: {len(after)} packages")


if __name__ == "__main__":
    main()
