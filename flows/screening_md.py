"""Steps of `ionloop screen` that run molecular dynamics: does the framework hold, and how well does it conduct.

Both look at the same trajectories, which lie in `screening/md` under their content address: whichever step comes
first runs them, the other one only reads. A killed screen goes on from the last frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from calculators.md_study import Transport, study, study_key, study_settings
from calculators.relax import Progress, silent
from flows.screening import Candidate, Measurement, Step


class MdStep(Step):
    """What both steps are told."""

    temperatures_K: list[float] = Field([1000.0], min_length=1, description="One run each, K.")
    ps: float = Field(100.0, gt=0, description="Length of each run that is analysed, ps.")
    calculator: str = Field("chgnet", description="Any calculator that gives energies and forces.")
    ordering: int = Field(0, ge=0, description="Which ordering of the composition.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="More settings of calculators.md_study.StudySettings, as tables."
    )

    @model_validator(mode="after")
    def _settings_are_known(self) -> MdStep:
        study_settings(self._complete())
        return self

    def _complete(self) -> dict[str, Any]:
        return self.settings | {"md": self.settings.get("md", {}) | {"ps": self.ps}}

    def address(self, candidate: Candidate) -> dict[str, Any]:
        return {
            "study": self._key(candidate),
            "temperatures_K": sorted(self.temperatures_K),
            "settings": study_settings(self._complete()).model_dump(mode="json"),
        }

    def _key(self, candidate: Candidate) -> str:
        ordering = candidate.ordering(self.ordering)
        return study_key(ordering, candidate.campaign.host.mobile, self.calculator, self._complete())

    def _study(self, candidate: Candidate, folder: Path, progress: Progress) -> Transport:
        def told(event: dict[str, Any]) -> None:
            kelvin = f"{event['target_K']:g} K, {event['ps']:.1f} ps, " if "target_K" in event else ""
            progress({**event, "stage": f"{kelvin}{event['stage']}"})

        return study(
            candidate.ordering(self.ordering),
            candidate.campaign.host.mobile,
            self.calculator,
            self.temperatures_K,
            folder.parents[1] / "md" / self._key(candidate),
            self._complete(),
            told,
            name=candidate.formula,
        )


class StabilityStep(MdStep):
    """Thermal stability (Tao et al. 2025 by AIMD): the framework's RMSD at the highest temperature."""

    quantity: ClassVar[str] = "framework RMSD"
    unit: ClassVar[str] = "Å"
    digits: ClassVar[int] = 2

    step: Literal["thermal-stability"] = "thermal-stability"

    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        """The RMSD, or no value if a run fell apart or a framework atom left its site."""
        result = self._study(candidate, folder, progress)
        for run in result.runs:
            if run.failure is not None:
                return Measurement(reason=f"{run.temperature_K:g} K: {run.failure.reason}")
            if run.stability is None or run.stability.stable is not True:
                reason = "no framework" if run.stability is None else run.stability.reason
                return Measurement(reason=f"{run.temperature_K:g} K: {reason}")
        hottest = result.runs[-1].stability
        assert hottest is not None
        return Measurement(
            value=hottest.rmsd_A,
            facts={
                "temperature_K": result.runs[-1].temperature_K,
                "by_element_A": hottest.by_element_A,
                "shift_A": hottest.shift_A,
            },
        )


class TransportStep(MdStep):
    """Conductivity by Nernst-Einstein: at the temperature if there is one, at room temperature if there are three."""

    quantity: ClassVar[str] = "σ"
    unit: ClassVar[str] = "mS/cm"

    step: Literal["transport"] = "transport"

    @model_validator(mode="after")
    def _one_or_three(self) -> TransportStep:
        if len(set(self.temperatures_K)) == 2:
            raise ValueError("temperatures_K: one (σ at it), or at least three (σ at room temperature)")
        return self

    def measure(self, candidate: Candidate, folder: Path, progress: Progress = silent) -> Measurement:
        """The conductivity, or no value with the verdict's reason."""
        result = self._study(candidate, folder, progress)
        facts: dict[str, Any] = {
            "D_cm2_per_s": {
                f"{run.temperature_K:g}": [run.diffusion.d_cm2_per_s, run.diffusion.d_error_cm2_per_s]
                for run in result.runs
                if run.diffusion is not None
            },
            "window_msd_A2": {
                f"{run.temperature_K:g}": run.diffusion.window_msd_A2
                for run in result.runs
                if run.diffusion is not None
            },
        }
        if len(result.runs) == 1:
            (run,) = result.runs
            facts |= {"temperature_K": run.temperature_K, "error_mS_per_cm": run.sigma_error_mS_per_cm}
            if run.excluded:
                return Measurement(reason=f"{run.temperature_K:g} K: {run.excluded}", facts=facts)
            return Measurement(value=run.sigma_mS_per_cm, facts=facts)
        line = result.arrhenius
        facts |= {"excluded": {f"{run.temperature_K:g}": run.excluded for run in result.runs if run.excluded}}
        if line.sigma_room_mS_per_cm is None:
            return Measurement(reason=f"{line.verdict.value}: {line.reason}", facts=facts)
        facts |= {
            "temperature_K": line.room_K,
            "E_a_eV": line.ea_eV,
            "E_a_error_eV": line.ea_error_eV,
            "ln_error": line.ln_sigma_room_error,
        }
        return Measurement(value=line.sigma_room_mS_per_cm, facts=facts)
