"""`ionloop label` and `ionloop calculators`: the label layer by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console

from flows.errors import UserError, as_user_error

console = Console()
app = typer.Typer()
calculators = typer.Typer(help="List the calculators, or check one.", invoke_without_command=True)
app.add_typer(calculators, name="calculators", rich_help_panel="By themselves")


@app.command(rich_help_panel="By themselves")
def label(
    structure: Annotated[Optional[Path], typer.Argument(help="CIF, POSCAR or anything that ASE reads.")] = None,  # noqa: UP045
    ion: Annotated[Optional[str], typer.Option(help="The mobile ion, with STRUCTURE.")] = None,  # noqa: UP045
    initial: Annotated[Optional[Path], typer.Option(help="Initial state, instead of STRUCTURE.")] = None,  # noqa: UP045
    final: Annotated[Optional[Path], typer.Option(help="Final state.")] = None,  # noqa: UP045
    band: Annotated[Optional[list[Path]], typer.Option(help="Interior images in order; repeat it.")] = None,  # noqa: UP045
    images: Annotated[Optional[int], typer.Option(min=1, help="Interior images.")] = None,  # noqa: UP045
    fmax: Annotated[Optional[float], typer.Option(min=0, help="Largest force of the band, eV/Å.")] = None,  # noqa: UP045
    preset: Annotated[Optional[str], typer.Option(help="thorough or quick.")] = None,  # noqa: UP045
    calculator: Annotated[str, typer.Option(help="Name of a calculator, or module:object.")] = "chgnet",
    out: Annotated[Path, typer.Option(help="Folder for the label and its path.")] = Path("label"),
) -> None:
    """The migration barrier of one structure (`STRUCTURE --ion Na`) or one path (`--initial A --final B`)."""
    from calculators.command import exit_code, label_path, label_structure

    given = {"images": images, "fmax_eV_per_A": fmax, "preset": preset}
    settings = {key: value for key, value in given.items() if value is not None}
    work: Callable[[Any], Any]
    if structure is not None and ion is not None and initial is None and final is None:
        what, work = structure, lambda seen: label_structure(structure, ion, calculator, out, settings, seen)
    elif initial is not None and final is not None and structure is None:
        what = initial

        def work(seen: Any) -> Any:
            return label_path(initial, final, calculator, out, band=band or [], settings=settings, progress=seen)
    else:
        raise UserError("label: give STRUCTURE with --ion, or --initial with --final")
    found = _with_progress(f"{what.name}: {calculator}", work)
    if found.failure is not None:
        console.print(f"no label ({found.failure.kind.value}): {found.failure.reason}; files: {out}")
    else:
        console.print(f"E_b = {found.value_eV:.3f} eV ({found.fidelity}); files: {out}")
        _plot_paths(found, out)
    if code := exit_code(found):
        raise SystemExit(code)


def _with_progress(title: str, work: Callable[[Any], Any]) -> Any:
    from flows.progress import Reporter, stage_note

    with Reporter(console).running() as reporter, reporter.bar(title) as bar, as_user_error():
        return work(lambda event: bar.update(stage_note(event)))


def _plot_paths(found: Any, out: Path) -> None:
    from flows.plots import hop_profiles

    if any(hop.path_eV for hop in found.hops):
        hop_profiles(found.hops, found.fidelity).savefig(out / "path.png", dpi=150)


@calculators.callback()
def list_calculators(context: typer.Context) -> None:
    """Installed calculators: fidelity, versions, and whether they can run here."""
    from rich.table import Table

    from calculators.registry import describe

    if context.invoked_subcommand is not None:
        return
    table = Table(box=None, header_style="bold")
    for column in ("name", "fidelity", "versions", "object", "can run here"):
        table.add_column(column, overflow="fold")
    for entry in describe():
        versions = ", ".join(f"{name} {version}" for name, version in entry.versions.items())
        table.add_row(entry.name, entry.fidelity, versions, entry.where, entry.problem or "yes")
    console.print(table)


@calculators.command()
def check(name: Annotated[str, typer.Argument(help="Name of a calculator, or module:object.")]) -> None:
    """Run the conformance suite: forces against finite differences, invariances, determinism, bad structures."""
    from calculators.conformance import as_table
    from calculators.conformance import check as run

    with console.status(f"checking {name}"), as_user_error():
        checks = list(run(name))
    console.print(as_table(checks), markup=False, highlight=False)
    if not all(entry.passed for entry in checks):
        raise SystemExit(1)
