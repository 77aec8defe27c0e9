"""GFN1-xTB (Grimme, Bannwarth, Shushkov, J. Chem. Theory Comput. 13, 1989 (2017)) for ionloop, through tblite."""

from __future__ import annotations

from typing import Any

from ase.calculators.calculator import Calculator


def gfn1_xtb(accuracy: float = 0.1, electronic_temperature_K: float = 300.0, **options: Any) -> Calculator:
    """A fresh ASE calculator with energy (eV), forces (eV/Å) and stress; ionloop asks for one per image.

    The arguments are what stands under `options` in the settings of a label. `accuracy` scales all thresholds of the
    self-consistent calculation; NEB forces want it tighter than the default of 1.
    """
    from tblite.ase import TBLite

    return TBLite(
        method="GFN1-xTB",
        accuracy=accuracy,
        electronic_temperature=electronic_temperature_K,
        verbosity=0,
        **options,
    )


gfn1_xtb.fidelity = "gfn1-xtb-neb"  # what labels computed with it are called
