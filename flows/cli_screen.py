"""`ionloop screen` and `ionloop hull`: from a campaign's ranking to the few compositions worth a synthesis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from flows.errors import as_user_error

console = Console()
app = typer.Typer()


@app.command(rich_help_panel="Campaigns")
def screen(
    campaign: Annotated[
        Optional[str],  # noqa: UP045 (Typer reads this at run time)
        typer.Argument(help="Name or folder of a campaign; default: the one touched last in ./campaigns."),
    ] = None,
    config: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="TOML or YAML whose [screen] section is used instead of the campaign's own."),
    ] = None,
) -> None:
    """Send the ranking through the steps of [screen]: which compositions stay, and why the others do not.

    What a step has measured is kept in the campaign's folder: a killed screen goes on where it was, and a screen with
    another rule or after another round measures only what is new.
    """
    from flows.found import find_campaign
    from flows.screening_campaign import screen_campaign
    from flows.screening_views import table

    screened, path = screen_campaign(find_campaign(campaign), config, console)
    console.print(table(screened))
    console.print(f"{len(screened.kept)} stay; every composition with its reason: {path}", soft_wrap=True)


@app.command(rich_help_panel="By themselves")
def hull(
    structures: Annotated[list[Path], typer.Argument(help="CIF, POSCAR or anything that ASE reads; ordered.")],
    calculator: Annotated[str, typer.Option(help="A calculator with energies, forces and stress.")] = "chgnet",
    reference: Annotated[
        str, typer.Option(help="Competing phases: shipped, materials-project, or auto (the latter with MP_API_KEY).")
    ] = "auto",
    fmax: Annotated[float, typer.Option(min=0.001, help="Largest force of a relaxed structure, eV/Å.")] = 0.05,
    out: Annotated[Path, typer.Option(help="Folder for tables, relaxed structures and a training set.")] = Path(
        "hull"
    ),
) -> None:
    """Energy above the convex hull, and what a structure would decompose into.

    The competing phases of its elements are relaxed once by the same calculator and kept for the next time. The file
    hull.extxyz in the folder is a data set for `ionloop train`.
    """
    from calculators.failures import CalculationFailed
    from calculators.hull import Energies, HullSettings
    from calculators.hull_command import hull_of_files
    from calculators.phases import open_reference
    from calculators.settings import validated
    from flows.progress import Reporter, stage_note
    from flows.screening_hull import hull_folder

    given = {"calculator": calculator, "reference": reference, "fmax_eV_per_A": fmax}
    with as_user_error((ValueError, FileNotFoundError, ImportError, CalculationFailed)):
        settings = validated(HullSettings, given, "hull")
        energies, phases = Energies(settings, hull_folder()), open_reference(settings.reference, hull_folder())
        with Reporter(console).running() as reporter, reporter.bar("E_hull") as bar:
            found = hull_of_files(structures, energies, phases, out, lambda event: bar.update(stage_note(event)))
    for one in found:
        if one.hull is None:
            console.print(f"{one.formula}: no E_hull: {one.reason}", soft_wrap=True, markup=False)
        else:
            text = f"{one.formula}: E_hull = {one.hull.e_hull_eV_per_atom:.4f} eV/atom -> {one.hull.decomposition()}"
            console.print(f"{text} ({one.hull.reference}, {one.hull.phases} phases)", soft_wrap=True, markup=False)
    console.print(f"wrote {out}")
    if all(one.hull is None for one in found):
        raise SystemExit(1)
