"""How a campaign chooses: read by every command, so it imports nothing that takes time."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Strategy = Literal[
    "random", "stratified", "maximin", "greedy", "max-sigma", "lcb", "ei", "pi", "top-k", "thompson", "hybrid"
]
Diversity = Literal["none", "cluster-quota", "kmeans", "lcmd"]

#: Strategies that need no trained model.
MODEL_FREE = ("random", "stratified", "maximin")


class AcquisitionConfig(BaseModel):
    """How the next batch is chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Strategy = Field(
        "top-k",
        description="random; stratified (the CGformer paper's: in proportion to the clusters); maximin (farthest "
        "from all that is known); greedy (lowest mean); max-sigma (largest sigma); lcb (lower confidence bound); ei "
        "(expected improvement); pi (probability of improvement); top-k (expected improvement of the `wanted` best); "
        "thompson (one ensemble member per place); hybrid (lcb from exploring to exploiting).",
    )
    diversity: Diversity = Field(
        "cluster-quota",
        description="none; cluster-quota (no cluster takes more than its share); kmeans (one of each group of the "
        "top beta x batch); lcmd (largest cluster, maximum distance). Ignored by random and stratified.",
    )
    initial: Literal["random", "stratified", "maximin"] = Field(
        "maximin", description="How the first batch is chosen, while nothing is labelled."
    )
    wanted: int = Field(18, ge=1, description="top-k: how many of the best compositions the campaign is to find.")
    kappa: float = Field(1.0, ge=0, description="Weight of sigma in lcb; where hybrid starts from.")
    kappa_end: float = Field(0.0, ge=0, description="Where hybrid ends.")
    xi_eV: float = Field(0.0, ge=0, description="Smallest improvement (eV) that counts, in ei and pi.")
    beta: float = Field(5.0, ge=1, description="kmeans and lcmd choose from the top beta x batch.")
    cluster_share: float = Field(0.5, gt=0, le=1, description="Largest share of a batch for one cluster.")
    unseen_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Largest share of a batch that goes first to clusters without any label; maximin visits them.",
    )
    max_orderings: int = Field(
        1,
        ge=1,
        description="Label up to so many orderings of one composition where one more is worth more (knowledge "
        "gradient) than the new composition in whose place it would come.",
    )
    repeat_from: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Share of the budget after which further orderings may be asked for: first find, then confirm.",
    )
