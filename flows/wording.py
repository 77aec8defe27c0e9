"""Numbers and names as people read them: the same words in the terminal, the report and Prefect."""

from __future__ import annotations

import html
import math
import re

DASH = "–"
_AMOUNT = r"(?<=[A-Za-z\])])(\d+(?:\.\d+)?)"


def finite(value: object) -> float | None:
    """A number that can be shown, or None for what is missing, infinite or not a number."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def number(value: object, digits: int = 3) -> str:
    """0.4123 -> "0.412"; anything missing or not finite -> a dash."""
    known = finite(value)
    return DASH if known is None else f"{round(known, digits) + 0.0:.{digits}f}"  # no "-0.000"


def energy(mean_eV: float | None, sigma_eV: float | None = None) -> str:
    """0.412, 0.03 -> "0.412 ± 0.030" (eV); sigma is left out where it is unknown or zero."""
    text = number(mean_eV)
    sigma = finite(sigma_eV)
    return text if text == DASH or not sigma else f"{text} ± {sigma:.3f}"


def duration(seconds: float | None) -> str:
    """3725 -> "1 h 02 min"; 75 -> "1 min 15 s"; 2.31 -> "2.3 s"; 200,000 -> "2 d 07 h"."""
    known = finite(seconds)
    if known is None:
        return DASH
    if known < 0:
        return "-" + duration(-known)
    if known < 9.95:
        return f"{known:.1f} s"
    minutes, rest = divmod(round(known), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02d} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def formula_math(formula: str) -> str:
    """Na4.5Sn0.25Si2PO12 with its amounts as subscripts, in matplotlib's mathtext."""
    return "$\\mathregular{" + re.sub(_AMOUNT, r"_{\1}", formula) + "}$" if formula else DASH


def formula_html(formula: str) -> str:
    """Na4.5Sn0.25Si2PO12 with its amounts as subscripts, in HTML (also in plotly's texts)."""
    return re.sub(_AMOUNT, r"<sub>\1</sub>", html.escape(formula)) if formula else DASH


def plural(count: int, noun: str) -> str:
    """1, "label" -> "1 label"; 12000, "label" -> "12,000 labels"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def slug(text: str) -> str:
    """Lowercase letters, digits and single dashes: what a Prefect artifact key may hold, and a tidy file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "campaign"


def file_stem(text: str) -> str:
    """A formula as part of a file name: letters, digits, dot, dash and underscore stay as they are."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._") or "unnamed"


def round_run_name(number: int) -> str:
    """The name of a round's flow run: "round 3"."""
    return f"round {number}"


def label_run_name(method: str, formula: str, calculator: str) -> str:
    """The name of a label's task run: "NEB Na3Zr1Sn0.25Si2PO12: chgnet"."""
    return f"{method} {formula}: {calculator}"
