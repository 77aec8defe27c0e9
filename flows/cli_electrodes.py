"""`ionloop electrodes`: enumerate substituted electrodes, compute their voltages, screen and rank them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console

from flows.errors import UserError, as_user_error

if TYPE_CHECKING:
    from agent.electrodes import ElectrodeSpace

console = Console()
app = typer.Typer()
electrodes = typer.Typer(
    help="Electrodes by substitution: arrangements of metals, voltages, screening (Shim et al. 2024).",
    no_args_is_help=True,
)
app.add_typer(electrodes, name="electrodes", rich_help_panel="By themselves")

HostName = Annotated[str, typer.Option(help="Host by name, or its TOML file.")]
Contents = Annotated[str, typer.Option(help="Mobile ions per formula unit, comma-separated.")]
Ranks = Annotated[
    str,
    typer.Option(
        help="Which sodium arrangement by Ewald energy at a content, for example 1:2,3:1 (default 0: lowest)."
    ),
]
Rattle = Annotated[
    float,
    typer.Option(min=0, help="Random displacements from which a host relaxes, Å; 0 keeps its symmetry."),
]


def _space(host: str, contents: str, ranks: str) -> ElectrodeSpace:
    from agent.electrodes import ElectrodeSpace
    from agent.hosts import load_host

    with as_user_error():
        return ElectrodeSpace(load_host(host), _numbers(contents, "--contents"), _pairs(ranks))


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"{option} {text!r}: write numbers with commas, for example 1,2,3,4") from None


def _pairs(text: str) -> dict[float, int]:
    try:
        split = [part.split(":") for part in text.split(",") if part]
        return {float(content): int(rank) for content, rank in split}
    except ValueError:
        raise UserError(f"--sodium {text!r}: write CONTENT:RANK with commas, for example 1:2,3:1") from None


@electrodes.command("enumerate")
def enumerate_space(
    host: HostName = "nvpf",
    contents: Contents = "1,2,3,4",
    sodium: Ranks = "",
    metals: Annotated[str, typer.Option(help="Metals, comma-separated; default: all that the host lists.")] = "",
    out: Annotated[Optional[Path], typer.Option(help="Folder for counts.csv and arrangements.csv.")] = None,  # noqa: UP045
) -> None:
    """Count the compounds and their symmetry-distinct arrangements, twice, and list them."""
    from agent.electrode_counts import count_all
    from agent.electrodes import compounds
    from flows.electrode_tables import arrangement_rows, beside_the_paper, count_rows, counts_table
    from flows.electrodes import write_table

    chosen = [name for name in metals.split(",") if name] or None
    with console.status("finding symmetries"), as_user_error():
        space = _space(host, contents, sodium)
        found = list(compounds(space.host, chosen))
        number = len({element for one in found for element in one.elements})
        counted = count_all(space)
    counts = count_rows(counted, number)
    console.print(counts_table(counts))
    console.print(beside_the_paper(space, counted, number), soft_wrap=True)
    if out is not None:
        write_table(counts, out / "counts.csv")
        with console.status("listing arrangements"):
            rows = write_table(arrangement_rows(space, found), out / "arrangements.csv")
        console.print(
            f"wrote {len(rows)} arrangements of {len(found)} compounds: {out / 'arrangements.csv'}", soft_wrap=True
        )


@electrodes.command()
def voltages(
    compounds: Annotated[list[str], typer.Argument(help="Metals per formula unit: V2 Cu0.5Mo1.5 ...")],
    out: Annotated[Path, typer.Option(help="Folder for results, voltages.csv and plots.")] = Path("electrodes"),
    calculator: Annotated[str, typer.Option(help="A calculator with energies and forces.")] = "chgnet",
    arrangements: Annotated[
        int, typer.Option(min=0, help="Arrangements of every compound, the most probable first; 0 for all.")
    ] = 1,
    host: HostName = "nvpf",
    contents: Contents = "1,2,3,4",
    sodium: Ranks = "",
    fmax: Annotated[float, typer.Option(min=0, help="Largest force after relaxation, eV/Å.")] = 0.05,
    steps: Annotated[int, typer.Option(min=1, help="Most steps of a relaxation.")] = 500,
    rattle: Rattle = 0.05,
) -> None:
    """Relax arrangements at every sodium content; voltages, relaxation energies, volumes, magnetic moments.

    Every finished relaxation lies in OUT/results under its content address: a run that was killed goes on where it
    stopped, and another calculator or setting never mixes with it.
    """
    from agent.electrodes import parse_metals
    from calculators.relaxations import RelaxationSettings, Relaxer
    from calculators.storage import write_images
    from flows.electrodes import Study, most_probable, write_table
    from flows.plots_electrodes import profiles
    from flows.progress import Reporter, stage_note

    space = _space(host, contents, sodium)
    with as_user_error():
        wanted = [parse_metals(space.host, text) for text in compounds]
        settings = RelaxationSettings(fmax_eV_per_A=fmax, steps=steps)
        relaxer = Relaxer(calculator, out / "results", settings)
    todo = [one for metals in wanted for one in most_probable(space.arrangements(metals), arrangements or None)]
    elements = {element for metals in wanted for element in metals.elements} | set(space.host.charges_e)
    total = (len(todo) + 1) * len(space.contents) + len(elements)
    with Reporter(console).running() as reporter, reporter.bar("relaxations", total) as bar, as_user_error():
        study, rows, frames = Study(space, relaxer, rattle, bar.advance), [], []
        relaxer.progress = lambda event: bar.update(stage_note(event))
        for arrangement in todo:
            rows.append(study.row(arrangement))
            frames += study.frames(arrangement)
            reporter.say(_line(rows[-1]))
            table = write_table(rows, out / "voltages.csv")
    if frames:
        write_images(out / "dataset.extxyz", frames)
    for problem in study.potentials.problems():
        console.print(f"no formation energies: reference {problem}", style="yellow")
    profiles(table, space.host.mobile).savefig(out / "profiles.png", dpi=150)
    console.print(
        f"wrote {out / 'voltages.csv'} and {out / 'profiles.png'}; next: ionloop electrodes screen {out}",
        soft_wrap=True,
    )


def _line(row: dict[str, Any]) -> str:
    if row["verdict"] != "ok":
        return f"{row['name']}: no voltages: {row['verdict']}"
    steps = [f"{name} {row[name]:.2f}" for name in ("V21", "V32", "V43") if row[name] is not None]
    return f"{row['name']}: {', '.join(steps)} V" if steps else f"{row['name']}: relaxed"


@electrodes.command()
def predict(
    energy_model: Annotated[Path, typer.Argument(help="Model of formation_eV_per_atom, from `ionloop train`.")],
    structure_model: Annotated[Path, typer.Argument(help="Model of relaxation_eV_per_atom, likewise.")],
    out: Annotated[Path, typer.Option(help="Folder for voltages.csv.")],
    study: Annotated[Path, typer.Option(help="Folder of `ionloop electrodes voltages`: its relaxed hosts.")] = Path(
        "electrodes"
    ),
    metals: Annotated[str, typer.Option(help="Metals, comma-separated; default: all that the host lists.")] = "",
    calculator: Annotated[str, typer.Option(help="The calculator of STUDY.")] = "chgnet",
    host: HostName = "nvpf",
    contents: Contents = "1,2,3,4",
    sodium: Ranks = "",
    fmax: Annotated[float, typer.Option(min=0, help="As in STUDY, eV/Å.")] = 0.05,
    steps: Annotated[int, typer.Option(min=1, help="As in STUDY.")] = 500,
    rattle: Rattle = 0.05,
) -> None:
    """Voltages and relaxation energies of every arrangement by two trained models; `screen` takes them from there.

    The models are trained on the data set of a study: `ionloop train electrodes/dataset.extxyz --target
    formation_eV_per_atom --out energy`, and the same with relaxation_eV_per_atom.
    """
    from agent.electrodes import compounds
    from calculators.relaxations import RelaxationSettings, Relaxer
    from flows.electrode_models import predicted_rows
    from flows.electrodes import Study, write_table
    from flows.progress import Reporter

    space = _space(host, contents, sodium)
    with as_user_error():
        chosen = [name for name in metals.split(",") if name] or None
        todo = [one for found in compounds(space.host, chosen) for one in space.arrangements(found)]
        relaxer = Relaxer(calculator, study / "results", RelaxationSettings(fmax_eV_per_A=fmax, steps=steps))
    with Reporter(console).running() as reporter, reporter.bar("predicting", len(todo)) as bar, as_user_error():
        rows = predicted_rows(
            Study(space, relaxer, rattle),
            todo,
            energy_model,
            structure_model,
            lambda done: bar.update(f"{done:,}", done),
        )
    write_table(rows, out / "voltages.csv")
    console.print(
        f"wrote {len(rows):,} arrangements: {out / 'voltages.csv'}; next: ionloop electrodes screen {out}",
        soft_wrap=True,
    )


@electrodes.command()
def screen(
    table: Annotated[Path, typer.Argument(help="voltages.csv, or the folder that holds it.")] = Path("electrodes"),
    out: Annotated[Optional[Path], typer.Option(help="Folder to write; default: the table's.")] = None,  # noqa: UP045
    max_relaxation: Annotated[float, typer.Option(help="Rule 1: relaxation energy, eV/atom.")] = 0.05,
    measure: Annotated[str, typer.Option(help="Rule 1: spread over the contents, or largest.")] = "spread",
    window: Annotated[str, typer.Option(help="Rule 3: lowest and highest V21, V.")] = "3.49,3.90",
    top: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
) -> None:
    """The paper's three rules, the reason for every exclusion, and the ranking by (V21 - V43) / V43."""
    from agent.electrode_screening import Rules
    from agent.electrode_screening import screen as run
    from calculators.settings import validated
    from flows.electrode_tables import ranking_table
    from flows.electrodes import ranking_rows, read_candidates, write_table
    from flows.plots_electrodes import ranking

    path = table / "voltages.csv" if table.is_dir() else table
    bounds = _numbers(window, "--window")
    if len(bounds) != 2:
        raise UserError(f"--window {window!r}: write two voltages, for example 3.49,3.90")
    with as_user_error():
        given = {
            "max_relaxation_eV_per_atom": max_relaxation,
            "relaxation_measure": measure,
            "min_V21_V": bounds[0],
            "max_V21_V": bounds[1],
        }
        rules = validated(Rules, given, "rules")
        screened = run(read_candidates(path), rules)
    folder = out or path.parent
    write_table(ranking_rows(screened), folder / "ranking.csv")
    ranking(screened, rules).savefig(folder / "ranking.png", dpi=150)
    console.print(ranking_table(screened, top))
    passed = {one.candidate.compound for one in screened if one.passed}
    every = {one.candidate.compound for one in screened}
    console.print(
        f"{len(passed)} of {len(every)} compounds stay; wrote {folder / 'ranking.csv'} and ranking.png",
        soft_wrap=True,
    )
