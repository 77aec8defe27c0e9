"""One file describes a campaign: TOML or YAML, checked field by field before anything starts."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from agent import sqs
from agent.acquisition_config import AcquisitionConfig
from agent.clusters import ClusterConfig
from agent.ordering import Method
from agent.space import SpaceConfig
from agent.stopping import StoppingConfig
from calculators.dask_cluster import DaskOptions
from calculators.jobs import JobOptions
from flows.errors import ConfigError
from flows.hull_limit import HullSection
from flows.outcomes import SynthesizabilitySection
from flows.screening_steps import ScreenSection

#: The password in a URL.
PASSWORD = re.compile(r"(?<=://)(?P<user>[^:/@\s]*):(?P<password>[^/@\s]+)@")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CampaignSection(Section):
    """Name, size and seed."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of the campaign and its folder."
    )
    host: str = Field("nzsp", description="A shipped host (nzsp, lzsp, nvpf, nzsp-c2c) or the path of a host file.")
    folder: Path = Field(Path("campaigns"), description="Where campaign folders are made.")
    seed: int = Field(0, ge=0, description="The one seed from which every random choice is derived.")
    batch: int = Field(8, ge=1, le=10_000, description="Labels per round.")
    orderings: int = Field(1, ge=1, le=64, description="Orderings per composition that the model averages over.")


class LoopSection(Section):
    """How proposing, labelling and retraining follow each other."""

    mode: Literal["rounds", "streaming"] = Field(
        "rounds",
        description="rounds: a batch, all its labels, then retraining. streaming: the next proposal as soon as a "
        "label lands, retraining beside it, so that slow labels keep nobody waiting; a round is one retraining.",
    )
    retrain_after: int | None = Field(
        None, ge=1, description="streaming: new target labels that make a round; default campaign.batch."
    )
    pretrain_first: bool = Field(
        True,
        description="streaming: all cheap labels before the first dear proposal; false: both from the start, the "
        "first dear ones chosen without a model.",
    )


class OrderingSection(Section):
    """How a composition becomes an ordered supercell."""

    method: Method = Field(
        "random", description="Dopants at random, or quasi-random (sqs): pairs as in a random alloy; slower."
    )

    @field_validator("method")
    @classmethod
    def _can_be_drawn(cls, method: Method) -> Method:
        if method == "sqs" and not sqs.installed():
            raise ValueError(sqs.NEEDS)
        return method


#: Labels of pre-training, unless said otherwise.
CHEAP_LABELS = 200


class PretrainSection(Section):
    """The cheap fidelity that the ensemble learns first."""

    calculator: str = Field("bvse", description="Labeller of the cheap fidelity.")
    labels: int | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description=f"How many cheap labels; 0 leaves the ensemble untrained. Default {CHEAP_LABELS}, or none where "
        "label.calculators has the same calculator.",
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="Settings of that labeller.")
    on_demand: bool = Field(
        False,
        description="In later rounds too: a chosen composition gets its cheap label first where that promises more "
        "per second than the dear one, by the costs and the correlation that the campaign has found.",
    )


class LabelSection(Section):
    """The target fidelity: which calculators, how many at once, how long, how often."""

    calculators: list[str] = Field(
        ["bvse"],
        min_length=1,
        description="Tried in this order; the first one's fidelity is the target. By default three-dimensional "
        "bond-valence percolation, the one that says most of a composition for a single ordering; chgnet, vasp and "
        "others are dearer and, by one ordering, noisier (docs/label-noise.md).",
    )
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Settings by calculator name.")
    scheduler: Literal["local", "slurm", "pbs", "sge", "dask"] = Field(
        "local",
        description="Where these calculators run: worker processes here, jobs of Slurm, PBS or SGE that outlive us, "
        "or a Dask cluster for many short labels.",
    )
    workers: int = Field(
        2, ge=1, le=1024, description="Labels that each calculator computes side by side: processes here, or jobs."
    )
    concurrency: dict[str, Annotated[int, Field(ge=1, le=1024)]] = Field(
        default_factory=dict,
        description="The same for single calculators (the one of pre-training too), e.g. { bvse = 8, vasp = 20 }.",
    )
    threads: int = Field(1, ge=1, le=256, description="CPU threads per worker.")
    timeout_min: float = Field(60.0, gt=0, description="Wall-time limit of one attempt, minutes.")
    retries: int = Field(2, ge=0, le=100, description="Further attempts after a transient failure or a time limit.")
    backoff_s: float = Field(5.0, ge=0, description="Pause before the first retry, doubled for each further one, s.")

    @model_validator(mode="after")
    def settings_name_a_calculator(self) -> LabelSection:
        for name in self.settings:
            if name not in self.calculators:
                raise ValueError(f"settings.{name}: not one of calculators ({', '.join(self.calculators)})")
        return self


class ModelSection(Section):
    """The surrogate."""

    kind: Literal["cgformer", "forest", "gp"] = Field(
        "cgformer",
        description="gp: linear plus Matérn process on the composition as a set of ions, the one of the back-tests; "
        "cgformer: the same, and a CGformer ensemble, on orderings, of what it leaves over (models.delta); forest on "
        "composition descriptors.",
    )
    members: int = Field(5, ge=2, le=64, description="Ensemble members; their spread is the uncertainty.")
    pretrain_epochs: int = Field(60, ge=1, le=10_000, description="Epochs on the cheap fidelity.")
    epochs: int = Field(60, ge=1, le=10_000, description="Epochs of each fine-tuning on the target fidelity.")
    recalibrate: bool = Field(
        True,
        description="Recalibrate sigma on held-out labels at every retraining, from 10 labelled compositions on; "
        "costs three more trainings.",
    )
    start_from: Path | None = Field(
        None,
        description="Folder of a trained ensemble (`ionloop train`) or released checkpoint (.pth.tar) to start from.",
    )


class LedgerSection(Section):
    """The campaign's memory."""

    url: str | None = Field(
        None,
        description="SQLAlchemy URL (sqlite:///..., postgresql+psycopg://user:$PASSWORD@host/db; $NAME is taken from "
        "the environment); default: ledger.sqlite in the campaign's folder.",
    )

    @field_validator("url")
    @classmethod
    def no_password_in_a_file(cls, url: str | None) -> str | None:
        """The configuration is kept in the campaign's folder and in the ledger, where many may read it."""
        found = re.search(PASSWORD, url or "")
        if found is not None and not found["password"].startswith("$"):
            raise ValueError("holds a password; write $NAME in its place and set NAME in the environment")
        return url


class PrefectSection(Section):
    """The stage on which the campaign can be watched."""

    enabled: bool = Field(True, description="Show the campaign in Prefect (a local server starts if none is set up).")
    port: int | None = Field(
        None, ge=1024, le=65535, description="Port of the local server; default 4200 or a free one."
    )


class Config(Section):
    """Everything that a campaign is."""

    campaign: CampaignSection
    loop: LoopSection = Field(default_factory=LoopSection)
    space: SpaceConfig = Field(default_factory=SpaceConfig)
    clusters: ClusterConfig = Field(default_factory=ClusterConfig)
    ordering: OrderingSection = Field(default_factory=OrderingSection)
    pretrain: PretrainSection = Field(default_factory=PretrainSection)
    label: LabelSection = Field(default_factory=LabelSection)
    #: Section slurm before there were other schedulers.
    jobs: JobOptions = Field(default_factory=JobOptions, validation_alias=AliasChoices("jobs", "slurm"))
    dask: DaskOptions = Field(default_factory=DaskOptions)
    model: ModelSection = Field(default_factory=ModelSection)
    acquisition: AcquisitionConfig = Field(default_factory=AcquisitionConfig)
    hull: HullSection = Field(default_factory=HullSection)
    synthesizability: SynthesizabilitySection = Field(default_factory=SynthesizabilitySection)
    stopping: StoppingConfig = Field(default_factory=StoppingConfig)
    screen: ScreenSection = Field(default_factory=ScreenSection)
    ledger: LedgerSection = Field(default_factory=LedgerSection)
    prefect: PrefectSection = Field(default_factory=PrefectSection)

    @model_validator(mode="after")
    def budget_is_possible(self) -> Config:
        budget, batch = self.stopping.max_labels, self.campaign.batch
        if budget is not None and budget < batch:
            raise ValueError(
                f"stopping.max_labels is {budget}, less than one batch; allowed: campaign.batch ({batch}) or more"
            )
        if self.acquisition.max_orderings > self.campaign.orderings:
            raise ValueError(
                f"acquisition.max_orderings is {self.acquisition.max_orderings}; "
                f"allowed: up to campaign.orderings ({self.campaign.orderings})"
            )
        return self

    @model_validator(mode="after")
    def cheap_labels_on_demand_can_be_had(self) -> Config:
        if self.pretrain.on_demand and self.pretrain.calculator in self.label.calculators:
            raise ValueError(
                f"pretrain.on_demand: {self.pretrain.calculator} is in label.calculators; allowed: another calculator"
            )
        if self.pretrain.on_demand and (not self.cheap_labels or self.loop.mode != "rounds"):
            raise ValueError("pretrain.on_demand needs pretrain.labels of 1 or more and loop.mode = 'rounds'")
        return self

    @model_validator(mode="after")
    def concurrency_names_a_calculator(self) -> Config:
        for name in self.label.concurrency:
            if name not in self.calculators:
                raise ValueError(f"label.concurrency.{name}: not used here; allowed: {', '.join(self.calculators)}")
        return self

    @property
    def folder(self) -> Path:
        return self.campaign.folder / self.campaign.name

    @property
    def cheap_labels(self) -> int:
        """Labels of pre-training: as asked for, or by default; then none if the target has the same calculator."""
        if self.pretrain.labels is not None:
            return self.pretrain.labels
        return 0 if self.pretrain.calculator in self.label.calculators else CHEAP_LABELS

    @property
    def calculators(self) -> list[str]:
        """All that this campaign may ask: the chain, and the one of pre-training."""
        cheap = [self.pretrain.calculator] if self.cheap_labels else []
        return list(dict.fromkeys([*self.label.calculators, *cheap]))

    @property
    def places(self) -> dict[str, int]:
        """Labels side by side, by calculator."""
        return {name: self.label.concurrency.get(name, self.label.workers) for name in self.calculators}


def load_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: no such file, not TOML/YAML, or a field that is wrong; one line per error.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; `ionloop init` writes an example") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    try:
        data = yaml.safe_load(text) if path.suffix in {".yaml", ".yml"} else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        kind = "YAML" if path.suffix in {".yaml", ".yml"} else "TOML"
        raise ConfigError(f"{path}: not valid {kind}: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected sections such as [campaign]; `ionloop init` writes an example")
    return parse_config(data, str(path))


def parse_config(data: dict[str, Any], source: str = "configuration") -> Config:
    """Check a configuration that is already a dictionary; raises `ConfigError` as `load_config` does."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from error


def _explain(problem: Any) -> str:
    """One validation problem as "field: what is wrong (what is allowed)"."""
    where = [str(part) for part in problem["loc"]]
    field = ".".join(where) or "configuration"
    if problem["type"] == "extra_forbidden":
        allowed = _fields_at(where[:-1])
        close = difflib.get_close_matches(where[-1], allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{field}: no such field; {hint}allowed: {', '.join(allowed)}"
    if problem["type"] == "missing":
        return f"{field}: required, but not given"
    message = str(problem["msg"]).removeprefix("Value error, ")
    given = problem.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    shown = PASSWORD.sub(r"\g<user>:***@", shown)
    return f"{field}: {message}{shown}"


def _fields_at(where: list[str]) -> list[str]:
    """The fields that are allowed at this place; what names no field (a list's index, a union's tag) chooses."""
    models: list[type[BaseModel]] = [Config]
    for part in where:
        tagged = [model for model in models if part in [field.default for field in model.model_fields.values()]]
        inside = [m for model in models if part in model.model_fields for m in _models_in(model.model_fields[part])]
        models = inside or tagged or models
    return list(models[0].model_fields) if len(models) == 1 else []


def _models_in(part: Any) -> list[type[BaseModel]]:
    """Every model that an annotation such as list[Annotated[A | B, ...]] speaks of."""
    annotation = getattr(part, "annotation", part)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
