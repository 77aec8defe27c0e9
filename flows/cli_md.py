"""`ionloop md`: thermal stability and transport of one structure by molecular dynamics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console
from rich.table import Table

from flows.errors import UserError, as_user_error

if TYPE_CHECKING:
    from calculators.md_study import Transport

console = Console()
app = typer.Typer()


@app.command(rich_help_panel="By themselves")
def md(
    structure: Annotated[Path, typer.Argument(help="CIF, POSCAR or anything that ASE reads; X marks vacant sites.")],
    ion: Annotated[str, typer.Option(help="The mobile ion.")],
    temperatures: Annotated[
        str, typer.Option(help="K, comma-separated; three or more for an Arrhenius line.")
    ] = "1000",
    ps: Annotated[float, typer.Option(help="Length of each run that is analysed, ps.")] = 100.0,
    equilibration: Annotated[float, typer.Option(help="Run before that, not analysed, ps.")] = 1.0,
    timestep: Annotated[float, typer.Option(help="fs.")] = 1.0,
    frame_every: Annotated[int, typer.Option(help="Steps between frames of the trajectory.")] = 10,
    thermostat: Annotated[str, typer.Option(help="berendsen, langevin, nose-hoover, or none (NVE).")] = "berendsen",
    calculator: Annotated[str, typer.Option(help="Name of a calculator, or module:object.")] = "chgnet",
    relax: Annotated[bool, typer.Option(help="Relax atoms and cell first.")] = True,
    window: Annotated[
        Optional[str],  # noqa: UP045 (Typer reads this at run time)
        typer.Option(help="Δt of the fit in ps, e.g. 20,80; default: 20 to 80 % of the run, from 1 ps."),
    ] = None,
    hop_length: Annotated[float, typer.Option(help="Å; an MSD below its square is not fitted.")] = 3.0,
    seed: Annotated[int, typer.Option(help="Of velocities and noise.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder; the same folder goes on where it stopped.")] = Path("md"),
) -> None:
    """Run NVT dynamics and say whether the framework holds, how fast the ion diffuses, and σ at room temperature.

    A killed run goes on from its last frame when the command is given again; a larger --ps extends it. Every
    number comes with its error, or there is a reason instead of a number.

    Example: ionloop md examples/nzsp.extxyz --ion Na --temperatures 900,1200,1500 --ps 10 --timestep 2
    """
    settings = {
        "relax": relax,
        "md": {
            "thermostat": thermostat,
            "ps": ps,
            "equilibration_ps": equilibration,
            "time_step_fs": timestep,
            "frame_every": frame_every,
            "seed": seed,
        },
        "transport": {"hop_length_A": hop_length, "window_ps": _numbers(window, "--window") if window else None},
    }
    kelvins = _numbers(temperatures, "--temperatures")
    result = _study(structure, ion, calculator, kelvins, out, settings)
    console.print(_table(result))
    console.print(_summary(result), markup=False, highlight=False)
    console.print(f"files: {out} (transport.json, msd.csv, arrhenius.csv, msd.png, arrhenius.png, rmsd.png)")
    if all(run.failure is not None for run in result.runs):
        raise SystemExit(1)


def _study(
    structure: Path, ion: str, calculator: str, kelvins: tuple[float, ...], out: Path, settings: dict[str, Any]
) -> Transport:
    from calculators.failures import CalculationFailed
    from calculators.md_study import study
    from calculators.structures import read_structure
    from flows.md_figures import write_figures
    from flows.progress import Reporter, stage_note

    wrong = (ValueError, FileNotFoundError, ImportError, BlockingIOError, CalculationFailed)
    with Reporter(console).running() as reporter, reporter.bar(structure.name) as bar, as_user_error(wrong):

        def seen(event: dict[str, Any]) -> None:
            if event.get("stage") == "md":
                bar.update(md_note(event), event["step"], event["steps"])
            else:
                bar.update(stage_note(event))

        result = study(read_structure(structure), ion, calculator, kelvins, out, settings, seen, name=structure.stem)
    write_figures(result, out)
    return result


def md_note(event: dict[str, Any]) -> str:
    """A frame in words: "1200 K: 3.25 ps, now 1187 K, 6.8 steps/s"."""
    return (
        f"{event['target_K']:g} K: {event['ps']:.2f} ps, now {event['temperature_K']:.0f} K, "
        f"{event['steps_per_s']:.1f} steps/s"
    )


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"{option} {text!r}: give numbers, comma-separated, such as 800,1000,1200") from None


def _table(result: Transport) -> Table:
    table = Table(box=None, header_style="bold")
    for column in ("T (K)", "framework", "RMSD (Å)", "diffusion", "D (cm²/s)", "σ (mS/cm)"):
        table.add_column(column, overflow="fold")
    for run in result.runs:
        if run.failure is not None or run.stability is None or run.diffusion is None:
            reason = run.failure.reason if run.failure else ""
            table.add_row(f"{run.temperature_K:g}", "failed", "", reason, "", "")
            continue
        framework = {True: "stable", False: "not stable", None: run.stability.reason}[run.stability.stable]
        seen = run.diffusion
        table.add_row(
            f"{run.temperature_K:g}",
            framework,
            "" if run.stability.rmsd_A is None else f"{run.stability.rmsd_A:.2f}",
            f"{seen.verdict.value}{': ' if seen.reason else ''}{seen.reason}",
            _with_error(seen.d_cm2_per_s, seen.d_error_cm2_per_s, "{:.1e}"),
            _with_error(run.sigma_mS_per_cm, run.sigma_error_mS_per_cm, "{:.3g}"),
        )
    return table


def _with_error(value: float | None, error: float | None, form: str) -> str:
    return "" if value is None or error is None else f"{form.format(value)} ± {form.format(error)}"


def _summary(result: Transport) -> str:
    line = result.arrhenius
    if line.ea_eV is None or line.ea_error_eV is None or line.ln_sigma_room_error is None:
        return f"no activation energy ({line.verdict.value}): {line.reason}"
    import math

    return (
        f"E_a = {line.ea_eV:.3f} ± {line.ea_error_eV:.3f} eV; σ({line.room_K:g} K) = "
        f"{line.sigma_room_mS_per_cm:.2g} mS/cm, within a factor {math.exp(line.ln_sigma_room_error):.2g} (68 %)"
    )
