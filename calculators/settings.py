"""What a barrier calculation can be told: everything here is part of a label's content address."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

Model = TypeVar("Model", bound=BaseModel)


class NebSettings(BaseModel):
    """Settings of the shared relax-hops-NEB labeller. The defaults are the `thorough` preset.

    Energies in eV, lengths in Å, forces in eV/Å.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The ordering itself.
    relax: Literal["none", "atoms", "cell"] = "cell"
    relax_fmax_eV_per_A: float = Field(0.05, gt=0)
    relax_steps: int = Field(300, ge=1)
    # Running out of relaxation steps is a failure, or accepted and recorded (bounded relaxation).
    relax_must_converge: bool = True
    # Arrangements of the mobile ions that are relaxed, of many ranked cheaply; the lowest is kept (1: as given).
    arrangements: int = Field(1, ge=1, le=100)

    # Which hops, and what is made of them (see calculators.hops).
    rule: str = "bottleneck"
    max_hops: int = Field(4, ge=1)
    hop_cutoff_A: float = Field(4.0, gt=0)

    # End points.
    endpoint_fmax_eV_per_A: float = Field(0.05, gt=0)
    endpoint_steps: int = Field(200, ge=1)
    max_other_move_A: float = Field(0.7, gt=0)

    # The band: interior images, springs in eV/Å^2.
    images: int = Field(5, ge=1)
    spring_eV_per_A2: float = Field(0.1, gt=0)
    fmax_eV_per_A: float = Field(0.05, gt=0)
    steps: int = Field(300, ge=1)
    climb: bool = True
    optimizer: Literal["auto", "bfgs", "lbfgs", "fire"] = "auto"

    # A cheap calculator that converges the band first; the calculator itself then starts from there.
    surrogate: str = ""
    # All images at once, each in a thread: for calculators that run an executable (VASP) in one allocation.
    parallel_images: bool = False
    # Every step's structure, energy and forces stay in the label's folder: what fine-tuning learns from.
    keep_frames: bool = False

    # Passed on to the calculator's factory.
    options: dict[str, Any] = Field(default_factory=dict)

    def complete(self) -> dict[str, Any]:
        """All settings as plain data. Those added after the first labels were made are left out at their defaults,
        so that the labels keep their address."""
        later = {"surrogate", "parallel_images", "keep_frames", "arrangements"}
        defaults = {name: NebSettings.model_fields[name].default for name in later}
        return {name: value for name, value in self.model_dump().items() if defaults.get(name, ...) != value}

    @field_validator("rule")
    @classmethod
    def _known_rule(cls, rule: str) -> str:
        parts = rule.split()
        if rule in ("bottleneck", "all", "easiest") or (len(parts) == 2 and parts[0] == "named" and "-" in parts[1]):
            return rule
        raise ValueError("allowed: bottleneck, all, easiest, 'named A-B' (for example 'named Na1-Na2')")


#: Starting points by name; single settings given beside `preset` win over it.
PRESETS: dict[str, dict[str, Any]] = {
    "thorough": {},
    # About a minute on one core with CHGNet for 80 atoms: a bounded cell relaxation, one hop, three images.
    "quick": {
        "relax_fmax_eV_per_A": 0.1,
        "relax_steps": 40,
        "relax_must_converge": False,
        "rule": "easiest",
        "endpoint_fmax_eV_per_A": 0.1,
        "endpoint_steps": 100,
        "images": 3,
        "fmax_eV_per_A": 0.1,
        "steps": 100,
    },
}


def validated(model: type[Model], given: dict[str, Any], what: str) -> Model:
    """Build a settings model, or say in one line what is wrong and what is allowed."""
    try:
        return model(**given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            allowed = ", ".join(model.model_fields)
            raise ValueError(f"{what}: unknown setting '{field}'; allowed: {allowed}") from None
        said = str(first["msg"]).removeprefix("Value error, ")
        raise ValueError(f"{what}: {field} = {first['input']!r}: {said}") from None


def neb_settings(given: dict[str, Any]) -> NebSettings:
    """Complete, checked settings from a person's few (`preset`, then what stands beside it)."""
    rest = dict(given)
    preset = rest.pop("preset", "thorough")
    if preset not in PRESETS:
        raise ValueError(f"settings: unknown preset '{preset}'; allowed: {', '.join(PRESETS)}")
    return validated(NebSettings, PRESETS[preset] | rest, "settings")
