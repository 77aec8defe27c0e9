"""`ionloop finetune`: labels of a dear calculator become a CHGNet of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.console import Console
from rich.table import Table

from flows.errors import as_user_error

if TYPE_CHECKING:
    from calculators.finetune import FineTuned

console = Console()
app = typer.Typer()


@app.command(rich_help_panel="By themselves")
def finetune(
    labels: Annotated[list[Path], typer.Argument(help="Folders of labels, or folders that hold such folders.")],
    name: Annotated[
        Optional[str],  # noqa: UP045 (Typer reads this at run time)
        typer.Option(help="Name of the new calculator; default: the first free of chgnet-ft1, chgnet-ft2, ..."),
    ] = None,
    models: Annotated[Path, typer.Option(envvar="IONLOOP_MODELS", help="Directory of the fine-tuned models.")] = Path(
        "models"
    ),
    base: Annotated[str, typer.Option(help="Start from 0.3.0, r2scan, or a .pt of an earlier one.")] = "0.3.0",
    recipe: Annotated[str, typer.Option(help="few (a handful of labels) or paper (a thousand frames).")] = "few",
    epochs: Annotated[Optional[int], typer.Option(min=1, help="Other than the recipe's.")] = None,  # noqa: UP045
    seed: Annotated[int, typer.Option(help="Of the split and the order of the frames.")] = 0,
) -> None:
    """Train CHGNet on the frames of labels and keep it as a calculator with its own name and fidelity.

    Labels of `vasp` and `espresso` keep their frames; others do with `keep_frames` in their settings. Old labels stay
    what they were. Errors are those on held-out frames, before and after: compare a barrier too before you trust it.

    Example: ionloop finetune campaigns/nzsp-dft/labels && export IONLOOP_MODELS=models && ionloop calculators
    """
    from calculators.finetune import fine_tune, next_name, recipe_of
    from calculators.frames import collect_frames
    from flows.progress import Reporter

    given = {"base": base, "seed": seed} | ({"epochs": epochs} if epochs is not None else {})
    with as_user_error(), Reporter(console).running() as reporter:
        settings = recipe_of(recipe, given)
        chosen = name or next_name(models)
        frames = collect_frames(labels, seed)
        with reporter.bar(f"{chosen}: {len(frames)} frames", total=settings.epochs) as bar:
            tuned = fine_tune(
                chosen,
                frames,
                models,
                settings,
                lambda event: bar.update(
                    f"energy {1000 * event['energy_eV_per_atom']:.2f} meV/atom, "
                    f"force {event['force_eV_per_A']:.4f} eV/Å",
                    completed=event["step"] + 1,
                ),
            )
    console.print(_table(tuned))
    console.print(f"{tuned.path} (calculator {chosen}, fidelity {chosen}-neb)", markup=False)
    if Path(os.environ.get("IONLOOP_MODELS", "")) != models:
        console.print(f"to use it: export IONLOOP_MODELS={models.resolve()}", markup=False)


def _table(tuned: FineTuned) -> Table:
    """Held-out errors before and after."""
    frames = ", ".join(f"{count} {what}" for what, count in tuned.frames.items())
    table = Table(title=f"held-out mean absolute errors ({frames})", box=None, title_justify="left")
    for column in ("", "before", "after"):
        table.add_column(column, justify="right" if column else "left")
    for unit, before in tuned.before.items():
        table.add_row(unit.replace("_", " "), f"{before:.5f}", f"{tuned.after[unit]:.5f}")
    return table
