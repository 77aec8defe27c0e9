"""What every calculator of the registry is: a `Labeller`.

A plug-in that is an energy calculator needs none of this: it gives a factory of ASE calculators and gets
`NebLabeller`.
"""

from __future__ import annotations

import inspect
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from calculators.barrier import BarrierRun
from calculators.bondvalence import SiteEnergy, formal_charges, percolation_barriers
from calculators.failures import invalid
from calculators.label import Label, Work
from calculators.neb_label import label_ordering
from calculators.relax import Progress, silent
from calculators.settings import NebSettings, neb_settings, validated
from calculators.storage import write_images


class Labeller(ABC):
    """Turns `Work` into a `Label`.

    Attributes:
        name: in the registry and in configurations.
        fidelity: what its labels are called; labels of different fidelity are never mixed silently.
        packages: distributions whose versions decide the value; they enter the label's content address.
    """

    name: str = ""
    fidelity: str = ""
    packages: tuple[str, ...] = ()

    @abstractmethod
    def fill(self, work: Work, folder: Path, label: Label, progress: Progress = silent) -> None:
        """Write `value_eV` and all that is known about it into `label`, and the files that belong to it into
        `folder`.

        `work.settings` are complete (see `settings`). To say that there is no value, raise
        `CalculationFailed`; what has been written into `label` until then is kept.
        """

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """Check a person's settings and complete them with the defaults (`ValueError` if wrong)."""
        return dict(given)

    def versions(self) -> dict[str, str]:
        """Versions that are part of the content address; nothing heavy is imported for it."""
        return {package: distribution_version(package) for package in self.packages}

    def reported(self, folder: Path) -> dict[str, str]:
        """Versions that only the output of a run in the label's folder tells: recorded, not part of the address."""
        return {}

    def unavailable(self) -> str | None:
        """Why it cannot run here, in one line with what to do; None if it can."""
        missing = [package for package in self.packages if distribution_version(package) == "missing"]
        return f"needs {', '.join(missing)}: pip install {' '.join(missing)}" if missing else None

    def remark(self) -> str:
        """What it may still need although it can run here, in one line; mostly nothing."""
        return ""


def distribution_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


class NebLabeller(Labeller):
    """The shared relax-hops-NEB labeller around a factory of ASE calculators (energy and forces).

    Args:
        factory: called once for every image with the settings' `options` as keyword arguments; share what is
            heavy (a network) between calls with `functools.cache`.
    """

    def __init__(
        self,
        name: str,
        factory: Callable[..., Any],
        fidelity: str | None = None,
        packages: tuple[str, ...] = (),
    ) -> None:
        self.name, self.factory = name, factory
        self.fidelity = fidelity or f"{name}-neb"
        self.packages = packages

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        checked = neb_settings(given)
        if checked.surrogate:
            self._surrogate(checked)
        return checked.complete()

    def run(self, settings: dict[str, Any], folder: Path, progress: Progress = silent) -> BarrierRun:
        """A barrier run with this calculator, for label_ordering and label_end_points."""
        checked = neb_settings(settings)
        surrogate = self._surrogate(checked).factory if checked.surrogate else None
        return BarrierRun(self._images_factory(checked, folder), checked, folder, progress, surrogate=surrogate)

    def calculator(self, options: dict[str, Any], folder: Path) -> Any:
        """One ASE calculator with these options; files that it needs go into the folder."""
        return self.maker(options, folder)()

    def maker(self, options: dict[str, Any], folder: Path) -> Callable[[], Any]:
        """What makes such calculators, any number of them."""
        return self._images_factory(NebSettings(options=options), folder)

    def _surrogate(self, settings: NebSettings) -> NebLabeller:
        from calculators import registry

        found = registry.find(settings.surrogate)
        if not isinstance(found, NebLabeller):
            raise ValueError(f"settings: surrogate '{settings.surrogate}' gives no energies and forces")
        return found

    def _images_factory(self, settings: NebSettings, folder: Path) -> Callable[[], Any]:
        """The factory with its options; one that takes a `directory` gets a new one in the folder each time."""
        if "directory" not in inspect.signature(self.factory).parameters:
            return lambda: self.factory(**settings.options)
        numbers = itertools.count()
        return lambda: self.factory(directory=folder / "runs" / f"{next(numbers):03d}", **settings.options)

    def fill(self, work: Work, folder: Path, label: Label, progress: Progress = silent) -> None:
        run = self.run(work.settings, folder, progress)
        try:
            label_ordering(work, run, label)
        finally:
            label.force_calls, label.seconds = run.force_calls, run.seconds
            if run.surrogate is not None:
                label.extra["surrogate_force_calls"] = float(run.surrogate_force_calls)


class BvseSettings(BaseModel):
    """Settings of the bond-valence labeller."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # E_b is the 1D, 2D or 3D percolation barrier. In three dimensions it is a property of the composition, in one
    # mostly of the ordering: intraclass correlation 0.61 against 0.08 over 994 compositions (docs/label-noise.md).
    dimension: int = Field(3, ge=1, le=3)
    grid_A: float = Field(0.16, gt=0.04)
    cutoff_A: float = Field(7.0, gt=3.0)


class BvseLabeller(Labeller):
    """Percolation barrier of the mobile ion's bond-valence site energy in the unrelaxed framework: no hops,
    no NEB.
    """

    name = "bvse"
    fidelity = "bvse"
    packages = ("bvlain",)

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        return validated(BvseSettings, given, "settings of bvse").model_dump()

    def fill(self, work: Work, folder: Path, label: Label, progress: Progress = silent) -> None:
        settings = BvseSettings(**work.settings)
        atoms = work.structure.to_atoms()
        write_images(folder / "initial.extxyz", atoms)
        progress({"stage": "bond valence", "step": 0})
        landscape = SiteEnergy(atoms, formal_charges(atoms), work.ion, settings.cutoff_A)
        barriers = percolation_barriers(landscape.grid(settings.grid_A))
        label.extra = {f"E_{n}D_eV": barrier for n, barrier in enumerate(barriers, 1) if barrier < float("inf")}
        value = barriers[settings.dimension - 1]
        if value == float("inf"):
            raise invalid(f"no {settings.dimension}D percolation of {work.ion} below 10 eV", "bond valence")
        label.value_eV, label.converged = value, True
