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
    pu: Annotated[bool, typer.Option(help="Score these also by positive-unlabelled learning.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of folds and classifiers.")] = 0,
) -> None:
    """Compare classifiers of phase purity on a table of outcomes, beside the majority class.

    Descriptors (Zuo et al., EES 19, 860 (2026)): mean ionic radius, electronegativity and valence of the substituted
    sublattice, and its configurational entropy.
    """
    from agent.hosts import load_host
    from flows.outcomes import read_outcomes
    from flows.synthesizability import COUNTS, compare, read_formulas, write
    from flows.synthesizability import predict as predicted

    with console.status("cross-validating"), as_user_error():
        framework = load_host(host)
        outcomes = read_outcomes(table, framework)
        comparison = compare(outcomes, folds, classifier, seed)
        written = write(comparison, out)
        if predict is not None:
            said = predicted(outcomes, read_formulas(predict), framework, classifier, seed, pu)
            said.round(6).to_csv(out / "predictions.csv", index=False)
            written.append(out / "predictions.csv")
    shown = comparison.table().drop(columns=list(COUNTS)).round(3)
    console.print(shown.to_string(index=False), markup=False, highlight=False, soft_wrap=True)
    console.print(comparison.verdict(), soft_wrap=True)
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
    from flows.outcomes import OUTCOMES
    from flows.outcomes import add_outcome as add
    from flows.session import find_campaign

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
