"""What may change between two runs of one campaign, and what would make it another campaign."""

from __future__ import annotations

from typing import Any

from flows.config import parse_config
from flows.errors import ConfigError, UserError

#: These decide what was proposed so far and what a label means; the rest (budget, workers, time limits, stage,
#: acquisition of rounds to come) may change.
FIXED = (
    "campaign.host",
    "campaign.seed",
    "campaign.orderings",
    "loop.mode",
    "space",
    "clusters",
    "ordering",
    "pretrain",
    "model",
    "label.calculators",
    "label.settings",
)


def check_changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Changes in words, "stopping.max_labels: 8 -> 16".

    Raises:
        UserError: something fixed has changed; the message names every such field.
    """
    try:
        changed = _differences(_completed(before), _completed(after))
    except ConfigError:  # of a version that knew other fields
        changed = _differences(before, after)
    forbidden = [text for field, text in changed if field.startswith(FIXED)]
    if forbidden:
        raise UserError(
            f"this campaign was started with another configuration; {'; '.join(forbidden)}. "
            f"Fixed for a campaign: {', '.join(FIXED)}; give the new one another campaign.name"
        )
    return [text for field, text in changed if field != "campaign.folder"]


def _completed(stored: dict[str, Any]) -> dict[str, Any]:
    """With the fields that came after it was stored, which have been at their defaults all the time, and with what
    follows from other fields."""
    config = parse_config(stored)
    fields = config.model_dump(mode="json")
    fields["pretrain"]["labels"] = config.cheap_labels
    return fields


def _differences(before: Any, after: Any, at: str = "") -> list[tuple[str, str]]:
    if isinstance(before, dict) and isinstance(after, dict):
        fields = sorted(set(before) | set(after))
        parts = [_differences(before.get(f), after.get(f), f"{at}.{f}".lstrip(".")) for f in fields]
        return [difference for part in parts for difference in part]
    return [] if before == after else [(at, f"{at}: {before!r} -> {after!r}")]
