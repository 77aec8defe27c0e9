"""Is a relaxed end point still the state that was asked for?"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.geometry import find_mic

from calculators.failures import invalid
from calculators.structures import check_overlap

#: An end point still is the state one asked for if the ion stays within this share of the hop's length of
#: its site.
MAX_DRIFT = 0.45


def check_physical(atoms: Atoms, stage: str) -> None:
    """Refuse a geometry in which atoms lie on top of each other (`invalid`)."""
    try:
        check_overlap(atoms)
    except ValueError as error:
        raise invalid(str(error), stage) from None


def check_hop(initial: Atoms, final: Atoms, atom: int, vector_A: np.ndarray, max_other_move_A: float) -> None:
    """Is the final state still the hop of this atom by this vector, and of this atom alone?

    Raises:
        CalculationFailed: `invalid`, saying which atom went where.
    """
    moves = find_mic(final.positions - initial.positions, initial.cell)[0]
    own = final.positions[atom] - initial.positions[atom]
    limit = MAX_DRIFT * np.linalg.norm(vector_A)
    if np.linalg.norm(own) < limit:
        raise invalid("the ion relaxed back to where it came from: this site holds no ion here", "end points")
    missed = np.linalg.norm(own - vector_A)
    if missed > limit:
        raise invalid(
            f"the ion left the site it was put on by {missed:.2f} Å: another hop than asked for", "end points"
        )
    others = np.linalg.norm(moves, axis=1)
    others[atom] = 0
    if others.max() > max_other_move_A:
        other = int(others.argmax())
        raise invalid(
            f"{initial.symbols[other]} {other} moves by {others[other]:.2f} Å as well "
            f"(allowed {max_other_move_A} Å): a concerted hop",
            "end points",
        )
