"""`ionloop train`, `predict`, `evaluate`: the model library from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from flows.errors import as_user_error

console = Console()
app = typer.Typer()


@app.command(rich_help_panel="By themselves")
def train(
    data: Annotated[Path, typer.Argument(help="Folder with CIFs and id_prop.csv, ASE database, or extended XYZ.")],
    out: Annotated[Path, typer.Option(help="Folder for model, report and figures.")],
    target: Annotated[Optional[str], typer.Option(help="Name of the target, where there are several.")] = None,  # noqa: UP045
    unit: Annotated[str, typer.Option(help="Unit of the target, for the figures.")] = "eV",
    members: Annotated[int, typer.Option(min=1, help="Ensemble members.")] = 5,
    folds: Annotated[int, typer.Option(min=0, help="Cross-validation folds; 0 skips it.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs.")] = 80,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    robust: Annotated[
        bool, typer.Option(help="Scale by median and quartiles: for targets with a heavy tail, such as barriers.")
    ] = False,
    one_host: Annotated[
        bool, typer.Option(help="All structures are one host, differently occupied: learn how elements are arranged.")
    ] = False,
    pretrain: Annotated[Optional[Path], typer.Option(help="Data set of a cheap fidelity to train on first.")] = None,  # noqa: UP045
    start_from: Annotated[Optional[Path], typer.Option(help="Folder of a trained model to start from.")] = None,  # noqa: UP045
) -> None:
    """Train a CGformer ensemble; its error stands beside the mean predictor's.

    If a target belongs to some sites of a structure (the moving ion, a defect), mark these by an array "focus" (1 or
    0) in the extended XYZ file, or as data of that name in an ASE database: the model reads out there.
    """
    from flows.progress import Reporter
    from models.cgformer import CGformerConfig
    from models.commands import TrainOptions
    from models.commands import train as run
    from models.ensemble import EnsembleConfig
    from models.training import TrainConfig

    network = CGformerConfig.one_host() if one_host else None
    config = EnsembleConfig(network=network, train=TrainConfig(epochs=epochs, robust=robust), pretrain_epochs=epochs)
    options = TrainOptions(
        data, out, target, unit, members, seed, folds, config, pretrain=pretrain, start_from=start_from
    )
    with Reporter(console).running() as reporter, reporter.bar("training") as bar, as_user_error():
        report = run(options, lambda epoch, total, loss: bar.update(f"epoch {epoch} of {total}", epoch, total))
    console.print(f"{report.labels} labels; wrote {report.out}")
    if report.recalibrated is not None:
        found = report.recalibrated
        console.print(f"cross-validated MAE {found.mae:.4g} {unit} (mean predictor {found.mae_mean:.4g})")
        if found.mae >= found.mae_mean:
            console.print("not better than the mean of the data: this model says nothing; give it more data")


@app.command(rich_help_panel="By themselves")
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a model of ours, or a released .pth.tar.")],
    structures: Annotated[list[Path], typer.Argument(help="CIF, POSCAR, extended XYZ, or folders of them.")],
    out: Annotated[Path, typer.Option(help="CSV to write: id, mean, sigma.")],
) -> None:
    """Predict structures with a trained model."""
    from models.commands import predict as run

    with console.status("predicting"), as_user_error():
        found = run(model, structures, out)
    console.print(f"{len(found)} predictions: {out}")


@app.command(rich_help_panel="By themselves")
def evaluate(
    data: Annotated[Path, typer.Argument(help="Folder with CIFs and id_prop.csv, ASE database, or extended XYZ.")],
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = Path("evaluation"),
    models: Annotated[
        str,
        typer.Option(
            help="Comma-separated: cgformer, cgformer-host, cgcnn, schnet, alignn, released, ensemble, forest, gp."
        ),
    ] = "cgformer,cgcnn,schnet,forest",
    target: Annotated[Optional[str], typer.Option(help="Name of the target, where there are several.")] = None,  # noqa: UP045
    unit: Annotated[str, typer.Option(help="Unit of the target, for the figures.")] = "eV",
    folds: Annotated[int, typer.Option(min=2, help="Cross-validation folds.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of every network.")] = 80,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    robust: Annotated[
        bool, typer.Option(help="Scale by median and quartiles: for targets with a heavy tail, such as barriers.")
    ] = False,
) -> None:
    """Cross-validate several models on the same folds, side by side with the mean predictor."""
    from agent.surrogates import on_descriptors
    from flows.progress import Reporter
    from models.commands import EvaluateOptions
    from models.commands import evaluate as run
    from models.training import TrainConfig

    names = tuple(name.strip() for name in models.split(",") if name.strip())
    train = TrainConfig(epochs=epochs, robust=robust)
    options = EvaluateOptions(data, out, target, unit, names, folds, seed, train=train, others={"gp": on_descriptors})
    total = folds * len(names)
    with Reporter(console).running() as reporter, reporter.bar("evaluating", total) as bar, as_user_error():
        report = run(options, lambda name, fold, of: bar.advance(f"{name}, fold {fold} of {of}"))
    console.print(report.table, markup=False)
    console.print(f"wrote {out}")
