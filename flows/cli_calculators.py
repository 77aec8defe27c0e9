"""`ionloop label` and `ionloop calculators`: the label layer by itself."""

from __future__ import annotations

import json
import math
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


class _BandCommand(typer.core.TyperCommand):
    """`--band` takes every word up to the next option, as a shell writes `--band images/*.cif` out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        said: list[str] = []
        of_band = False
        for word in args:
            if word.startswith("-"):
                of_band = word == "--band"
            elif of_band and said[-1] != "--band":
                said.append("--band")
            said.append(word)
        return super().parse_args(ctx, said)


@app.command(rich_help_panel="By themselves", cls=_BandCommand)
def label(
    structure: Annotated[Optional[Path], typer.Argument(help="CIF, POSCAR or anything that ASE reads.")] = None,  # noqa: UP045
    ion: Annotated[Optional[str], typer.Option(help="The mobile ion, with STRUCTURE.")] = None,  # noqa: UP045
    initial: Annotated[Optional[Path], typer.Option(help="Initial state, instead of STRUCTURE.")] = None,  # noqa: UP045
    final: Annotated[Optional[Path], typer.Option(help="Final state.")] = None,  # noqa: UP045
    band: Annotated[Optional[list[Path]], typer.Option(help="Images in order, in one file or several.")] = None,  # noqa: UP045
    images: Annotated[Optional[int], typer.Option(min=1, help="Interior images.")] = None,  # noqa: UP045
    fmax: Annotated[Optional[float], typer.Option(min=0, help="Largest force of the band, eV/Å.")] = None,  # noqa: UP045
    preset: Annotated[Optional[str], typer.Option(help="thorough or quick.")] = None,  # noqa: UP045
    rule: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Which hops decide E_b, with STRUCTURE: bottleneck, easiest, all, or 'named Na1-Na2'."),
    ] = None,
    calculator: Annotated[str, typer.Option(help="Name of a calculator, or module:object.")] = "chgnet",
    options: Annotated[Optional[str], typer.Option(help="The calculator's options, as JSON.")] = None,  # noqa: UP045
    time_limit: Annotated[
        float,
        typer.Option(min=0, help="Minutes for the computation, which has a process of its own. Again: it goes on."),
    ] = math.inf,
    out: Annotated[Path, typer.Option(help="Folder for the label and its path.")] = Path("label"),
) -> None:
    """The migration barrier of one structure (`STRUCTURE --ion Na`) or one path (`--initial A --final B`)."""
    from calculators.command import exit_code, label_path, label_structure

    given = {"images": images, "fmax_eV_per_A": fmax, "preset": preset, "rule": rule, "options": _json(options)}
    settings = {key: value for key, value in given.items() if value not in (None, {})}
    limit_s = 60.0 * time_limit
    work: Callable[[Any], Any]
    if structure is not None and ion is not None and initial is None and final is None:
        what = structure

        def work(seen: Any) -> Any:
            return label_structure(structure, ion, calculator, out, settings, seen, limit_s)
    elif initial is not None and final is not None and structure is None:
        what = initial

        def work(seen: Any) -> Any:
            return label_path(
                initial, final, calculator, out, band=band or [], settings=settings, progress=seen, limit_s=limit_s
            )
    else:
        raise UserError("label: give STRUCTURE with --ion, or --initial with --final")
    found = _with_progress(f"{what.name}: {calculator}", work)
    if found.failure is not None:
        said = f"no label ({found.failure.kind.value}): {found.failure.reason}; files: {out}"
        console.print(said, markup=False, soft_wrap=True)
    else:
        console.print(f"E_b = {found.value_eV:.3f} eV ({found.fidelity}); files: {out}", markup=False, soft_wrap=True)
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
    from rich.text import Text

    from calculators.registry import describe

    if context.invoked_subcommand is not None:
        return
    table = Table(box=None, header_style="bold")
    for column in ("name", "fidelity", "versions", "can run here"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for entry in describe():
        versions = "\n".join(f"{name} {version}" for name, version in entry.versions.items())
        here = entry.problem or ("yes; " + entry.remark if entry.remark else "yes")
        table.add_row(*map(Text, (entry.name, entry.fidelity, versions, here)))
    console.print(table)


@calculators.command()
def check(
    name: Annotated[str, typer.Argument(help="Name of a calculator, or module:object.")],
    structure: Annotated[Optional[Path], typer.Option(help="A small cell that it knows; default NaCl or Cu.")] = None,  # noqa: UP045
    options: Annotated[Optional[str], typer.Option(help="The calculator's options, as JSON.")] = None,  # noqa: UP045
) -> None:
    """Run the conformance suite: forces against finite differences, invariances, determinism, bad structures."""
    from calculators.conformance import as_table
    from calculators.conformance import check as run
    from calculators.structures import read_structure

    with console.status(f"checking {name}"), as_user_error():
        probe = read_structure(structure) if structure is not None else None
        checks = list(run(name, probe, options=_json(options)))
    console.print(as_table(checks), markup=False, highlight=False, soft_wrap=True)
    if not all(entry.passed for entry in checks):
        raise SystemExit(1)


def _json(given: str | None) -> dict[str, Any]:
    try:
        read = json.loads(given or "{}")
    except json.JSONDecodeError as error:
        raise UserError(f"options: no JSON ({error})") from None
    if not isinstance(read, dict):
        raise UserError(f'options: a JSON object such as {{"cutoff_Ry": 40}} is wanted, not {given}')
    return read
