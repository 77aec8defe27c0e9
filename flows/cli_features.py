"""`ionloop synthesizability` and `add-outcome`; `features` and `transport`; `search`."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from flows.errors import UserError, as_user_error

console = Console()
app = typer.Typer()

Host = Annotated[str, typer.Option(help="Host whose formulas these are: a shipped one or a host file.")]


@app.command(rich_help_panel="By themselves")
def synthesizability(
    table: Annotated[
        Optional[Path],  # noqa: UP045 (Typer reads this at run time)
        typer.Argument(help="CSV with columns formula and outcome (pure, impure); default: the six published ones."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for tables and figures.")] = Path("synthesizability"),
    host: Host = "nzsp",
    folds: Annotated[int, typer.Option(min=2, help="Cross-validation folds.")] = 10,
    classifier: Annotated[str, typer.Option(help="Whose descriptors are weighed, and who predicts.")] = "naive-bayes",
    predict: Annotated[Optional[Path], typer.Option(help="CSV with a column formula, to be predicted.")] = None,  # noqa: UP045
    pu: Annotated[
        bool,
        typer.Option(help="Score these also by positive-unlabelled learning; a table of pure ones alone will do."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of folds and classifiers.")] = 0,
) -> None:
    """Compare classifiers of phase purity on a table of outcomes, beside the majority class.

    Descriptors (Zuo et al., EES 19, 860 (2026)): mean ionic radius, electronegativity and valence of the substituted
    sublattice, and its configurational entropy.
    """
    from agent.hosts import load_host
    from flows.outcomes import read_outcomes
    from flows.synthesizability import COUNTS, check_pu, compare, read_formulas, write
    from flows.synthesizability import predict as predicted

    if pu and predict is None:
        raise UserError("--pu scores formulas: name a CSV of them with --predict")
    said: list[str] = []
    written: list[Path] = []
    with console.status("cross-validating"), as_user_error():
        framework = load_host(host)
        outcomes = read_outcomes(table, framework)
        if pu and outcomes.pure.all():
            said.append(f"{len(outcomes)} compositions, all pure: nothing to classify, only scores of likeness")
        else:
            comparison = compare(outcomes, folds, classifier, seed)
            written += write(comparison, out)
            said.append(comparison.table().drop(columns=list(COUNTS)).round(3).to_string(index=False))
            said.append(comparison.verdict())
        if predict is not None:
            predictions = predicted(outcomes, read_formulas(predict), framework, classifier, seed, pu)
            out.mkdir(parents=True, exist_ok=True)
            predictions.round(6).to_csv(out / "predictions.csv", index=False)
            written.append(out / "predictions.csv")
            if pu and outcomes.pure.sum() > 1:
                said.append(f"positive-unlabelled: {check_pu(outcomes, predictions, seed)}")
    for text in said:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print("wrote " + ", ".join(map(str, written)), soft_wrap=True)


@app.command("add-outcome", rich_help_panel="A person's hand in a campaign")
def add_outcome(
    campaign: Annotated[str, typer.Argument(help="Name or folder of a campaign.")],
    formula: Annotated[str, typer.Argument(help="What was made: Na3.5Zr1Ti0.5Lu0.5Si2PO12, or a composition key.")],
    outcome: Annotated[str, typer.Argument(help="pure or impure.")],
    source: Annotated[str, typer.Option(help="Where that was found; stands in the ledger.")] = "",
) -> None:
    """Tell a campaign what came out of the furnace; with synthesizability.only the next round counts it."""
    from agent.hosts import load_host
    from flows.found import find_campaign
    from flows.outcomes import OUTCOMES
    from flows.outcomes import add_outcome as add

    found = find_campaign(campaign)
    word = outcome.strip().lower()
    if word not in OUTCOMES:
        raise UserError(f"outcome {outcome!r}: allowed are {', '.join(OUTCOMES)}")
    with as_user_error(), found.ledger() as ledger:
        framework = load_host(found.config.campaign.host)
        add(ledger, found.folder.absolute().name, formula, framework, word, source, getpass.getuser())
    console.print(f"{formula}: {word}; the classifier counts it from the next round on")
    if not found.config.synthesizability.only:
        console.print("the campaign proposes without it; set only = true in its [synthesizability] to change that")


@app.command(rich_help_panel="Looking at a campaign")
def search(
    campaign: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="Name or folder of a campaign; default: the one touched last in ./campaigns."),
    ] = None,
    elements: Annotated[Optional[str], typer.Option(help="All of these, e.g. Zr,Hf,Sn.")] = None,  # noqa: UP045
    without: Annotated[Optional[str], typer.Option(help="None of these.")] = None,  # noqa: UP045
    entropy: Annotated[Optional[str], typer.Option(help="In units of R: '>=1.5', or '>=1,<1.5'.")] = None,  # noqa: UP045
    eb: Annotated[Optional[str], typer.Option(help="Barrier, eV: '<0.4'. Labels, else predictions.")] = None,  # noqa: UP045
    percentile: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Of the barrier within the whole space, %; 0 is the lowest: '<=5'."),
    ] = None,
    price: Annotated[Optional[str], typer.Option(help="Of the dearest dopant, USD/kg: '<=100'.")] = None,  # noqa: UP045
    formula: Annotated[Optional[str], typer.Option(help="This one, as `ionloop rank` writes it.")] = None,  # noqa: UP045
    top: Annotated[int, typer.Option(min=1, help="How many are shown.")] = 20,
    out: Annotated[Optional[Path], typer.Option(help="CSV for all that fit.")] = None,  # noqa: UP045
    structures: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder for the orderings of the shown ones that have no relaxed structure."),
    ] = None,
) -> None:
    """Look compositions up: entropy, structure, barrier with sigma, percentile within the whole space.

    `ionloop search my-campaign --elements Zr,Hf,Sn --entropy '>=1.5' --eb '<0.4' --out found.csv`
    """
    from flows.found import find_campaign
    from flows.search import Atlas, Query, write_orderings
    from flows.tables import hits as shown

    with as_user_error():
        query = Query.parse(elements, without, entropy, eb, percentile, price, formula)
    found = find_campaign(campaign)
    with console.status("searching"), as_user_error():
        atlas = Atlas.of(found.view())
        fitting = atlas.search(query)
    best = fitting.head(top)
    if structures is not None:
        best = write_orderings(found, best, structures)
        fitting.loc[best.index, "structure"] = best["structure"]
    console.print(shown(best))
    if atlas.note:
        console.print(f"[yellow]{atlas.note}[/]", soft_wrap=True)
    console.print(f"{len(fitting):,} of {len(atlas.table):,} compositions fit")
    if out is not None:
        fitting.round(6).to_csv(out, index=False)
        console.print(f"wrote {out}")


@app.command(rich_help_panel="By themselves")
def features(
    structures: Annotated[list[Path], typer.Argument(help="Relaxed structures (any format of ASE), or folders.")],
    out: Annotated[Path, typer.Option(help="CSV to write: one row per structure.")],
    mobile: Annotated[str, typer.Option(help="The mobile ion.")] = "Li",
    framework: Annotated[str, typer.Option(help="Cations that no dopant replaces, comma-separated.")] = "Si,P",
    anions: Annotated[str, typer.Option(help="Corners of the polyhedra, comma-separated.")] = "O",
    anions_per_formula: Annotated[float, typer.Option(min=0.001, help="By which formula units are counted.")] = 12.0,
    mobile_geometry: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Ideal polyhedron of the mobile ion, as ChemEnv names it; default T:4 for Li, else O:6."),
    ] = None,
    frames: Annotated[bool, typer.Option(help="All frames of a file, not only the last.")] = False,
) -> None:
    """The 17 structural features of the LZSP paper, and the configurational entropy, of relaxed structures.

    Mobile ions per formula unit, volume, cell lengths; per kind of cation the mean and spread of the continuous
    symmetry measures of its polyhedra, and the first peak of the radial distribution function to the anions.
    """
    from flows.transport import feature_csv
    from models.structural_features import Framework, default_geometry

    def split(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())

    with console.status("computing features"), as_user_error():
        ideal = default_geometry(mobile, mobile_geometry)
        roles = Framework(mobile, split(framework), split(anions), anions_per_formula, (ideal, "O:6", "T:4"))
        table, refused = feature_csv(structures, roles, out, frames)
    for name, reason in refused.items():
        console.print(f"[yellow]left out[/] {name}: {reason}", soft_wrap=True)
    console.print(f"{len(table)} structures, {len(table.columns)} columns: {out}", soft_wrap=True)


@app.command(rich_help_panel="By themselves")
def transport(
    table: Annotated[Path, typer.Argument(help="CSV of features with a column for the target (`ionloop features`).")],
    target: Annotated[str, typer.Option(help="Column to be learned: msd_A2, E_3D_eV, ...")],
    unit: Annotated[str, typer.Option(help="Unit of the target, for the figures.")] = "",
    columns: Annotated[
        str, typer.Option(help="structural (the 17), multinary (with entropy), all, or names, comma-separated.")
    ] = "structural",
    orderings: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="CSV of features of many orderings of one composition: how stable is a prediction?"),
    ] = None,
    importance: Annotated[str, typer.Option(help="shap, or permutation, which needs no further package.")] = "shap",
    folds: Annotated[int, typer.Option(min=2, help="Cross-validation folds.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of folds and regressors.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for tables and figures.")] = Path("transport"),
) -> None:
    """The SF-MSD model of the LZSP paper on your table: errors beside the mean predictor's, and what matters."""
    from flows.transport import model_transport, read_table

    with console.status("cross-validating"), as_user_error():
        many = None if orderings is None else read_table(orderings)
        report = model_transport(read_table(table), target, columns, many, importance, folds, seed)
        written = report.write(out, unit)
    console.print(report.errors().round(4).to_string(index=False), markup=False, highlight=False, soft_wrap=True)
    for line in report.verdicts():
        console.print(line, soft_wrap=True)
    console.print("wrote " + ", ".join(map(str, written)), soft_wrap=True)
