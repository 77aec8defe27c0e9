"""Calculators by name: built-in ones, installed plug-ins, and `module:object`.

A plug-in announces itself with an entry point of the group `ionloop.calculators`:

    [project.entry-points."ionloop.calculators"]
    xtb = "my_package:make_calculator"

The object is a factory of ASE calculators (any callable; the shared NEB labels with it, under the fidelity
that its attribute `fidelity` says, by default NAME-neb), or a `Labeller`, class or instance.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from calculators.builtin import FineTunedChgnet
from calculators.chgnet import MODELS_VARIABLE
from calculators.labeller import Labeller, NebLabeller

GROUP = "ionloop.calculators"

BUILT_IN = {name: f"calculators.builtin:{name}" for name in ("chgnet", "bvse", "emt", "lj")} | {
    **{name: f"calculators.universal:{name}" for name in ("mace", "sevennet", "orb", "mattersim", "matgl")},
    "sevennet-0": "calculators.universal:sevennet_0",
    "sevennet-l3i5": "calculators.universal:sevennet_l3i5",
    "chgnet-r2scan": "calculators.builtin:chgnet_r2scan",
    "vasp": "calculators.vasp_labeller:vasp",
    "espresso": "calculators.espresso:espresso",
    "vasp-native": "calculators.vasp_labeller:vasp_native",
}


class UnknownCalculator(ValueError):
    """No calculator of this name, or its object cannot be had; the message says what there is."""


def names() -> dict[str, str]:
    """Every calculator that can be asked for by name, and where its object (`module:object`) or its file lies."""
    tuned = {name: str(path) for name, path in installed_models().items()}
    return tuned | BUILT_IN | _plugins()


@cache
def _plugins() -> dict[str, str]:
    """Installed plug-ins, looked up once: it means reading the metadata of every installed distribution."""
    return {point.name: point.value for point in entry_points(group=GROUP)}


def installed_models() -> dict[str, Path]:
    """Fine-tuned models by name, in the directory that the environment variable IONLOOP_MODELS names."""
    folder = os.environ.get(MODELS_VARIABLE)
    return {path.stem: path for path in sorted(Path(folder).glob("*.pt"))} if folder else {}


def find(name: str) -> Labeller:
    """The labeller of this name, or of this `module:object`.

    Raises:
        UnknownCalculator: with what is available, or what to install.
    """
    known = names()
    where = known.get(name, name)
    if where.endswith(".pt"):
        return FineTunedChgnet(name, Path(where))
    if ":" not in where:
        raise UnknownCalculator(
            f"calculator '{name}' is unknown; available: {', '.join(sorted(known))}, or module:object"
        )
    module_name, _, attribute = where.partition(":")
    try:
        found = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        hint = f"pip install {error.name}" if error.name != module_name else f"is {module_name} installed?"
        raise UnknownCalculator(f"calculator '{name}': no module named {error.name} ({hint})") from error
    except AttributeError as error:
        raise UnknownCalculator(f"calculator '{name}': {error}") from error
    return as_labeller(name if name in known else attribute.lower(), found)


def as_labeller(name: str, found: Any) -> Labeller:
    """Wrap what a plug-in gave: a Labeller instance or class, or a factory of ASE calculators."""
    if isinstance(found, type) and issubclass(found, Labeller):
        found = found()
    if isinstance(found, Labeller):
        found.name = found.name or name
        return found
    if callable(found):
        packages = (getattr(found, "__module__", "").partition(".")[0],)
        known = tuple(package for package in packages if _is_distribution(package))
        return NebLabeller(name, found, getattr(found, "fidelity", None), known)
    raise UnknownCalculator(
        f"calculator '{name}': a {type(found).__name__} is neither a factory of ASE calculators nor a Labeller"
    )


def _is_distribution(package: str) -> bool:
    from calculators.labeller import distribution_version

    return distribution_version(package) != "missing"


@dataclass(frozen=True)
class Description:
    """One line of `ionloop calculators`. `problem` says why it cannot run here, None if it can; `remark`, what it may
    still need then.
    """

    name: str
    fidelity: str
    versions: dict[str, str]
    where: str
    problem: str | None
    remark: str = ""


def describe() -> list[Description]:
    """All calculators that can be asked for by name, working or not."""
    described = []
    for name, where in sorted(names().items()):
        try:
            labeller = find(name)
        except (UnknownCalculator, ImportError) as error:
            described.append(Description(name, "", {}, where, str(error)))
            continue
        state = labeller.unavailable(), labeller.remark()
        described.append(Description(name, labeller.fidelity, labeller.versions(), where, *state))
    return described
