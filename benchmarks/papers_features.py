"""What follows from the LZSP and entropy papers' own text: `python benchmarks/papers_features.py`.

Fu et al. (high-entropy LZSP): entropies of table S2, formulas and volumes of table 1. Zuo et al. (EES 19, 860
(2026)): entropies, radii, range of descriptors, and what the stated accuracies say about the size of the test set.
"""

from __future__ import annotations

import math

import numpy as np
from ase import units
from scipy.stats import binomtest, fisher_exact

from agent.elements import shannon_radius_A
from agent.formula import read_formula
from agent.hosts import load_host
from agent.space import PROPORTION_TYPES

#: Table S2 of Fu et al., in units of R.
TABLE_S2 = {
    **{"3-1": 1.095, "3-2": 1.082, "3-3": 1.072, "4-1": 1.386, "4-2": 1.371, "4-3": 1.355},
    **{"5-1": 1.602, "5-2": 1.581, "5-3": 1.565, "6-1": 1.775, "6-2": 1.754, "6-3": 1.733},
    **{"7-1": 1.927, "7-2": 1.906, "7-3": 1.873, "8-1": 2.079, "8-2": 2.047, "8-3": 2.014},
}
#: Table 1 of Fu et al.: formula, time (s) and volume (Å3) of DFT and of CHGNet, difference (%), RSSD (Å).
TABLE_1 = [
    ("Li3.5La0.5Zr1.5Si2PO12", 18736, 522.303, 53, 523.313, 0.19, 0.309),
    ("Li3SnZrSi2PO12", 6860, 504.650, 29, 502.557, 0.41, 0.230),
    ("Li2.5Bi0.5Zr1.5Si2PO12", 30919, 518.689, 94, 519.566, 0.17, 0.186),
    ("Li4Ga0.5Y0.5ZrSi2PO12", 17841, 539.621, 49, 535.673, 0.73, 0.897),
    ("Li3NbZn0.5Zr0.5Si2PO12", 14318, 500.090, 43, 498.545, 0.31, 0.545),
    ("Li2.5Sb0.5Ti0.5ZrSi2PO12", 6848, 498.409, 22, 498.071, 0.07, 0.133),
    ("Li4Fe0.5Al0.5Ge0.5Zr0.5Si2PO12", 44082, 492.104, 692, 519.138, 5.49, 4.680),
    ("Li3V0.5In0.5Hf0.5Zr0.5Si2PO12", 10746, 496.506, 33, 497.253, 0.15, 0.392),
    ("Li2.5Nb0.5Bi0.5Fe0.5Zr0.5Si2PO12", 32692, 502.286, 104, 499.451, 0.56, 2.434),
]
#: Zuo et al.: name, formula, entropy in R where it is stated.
NASICONS = [
    ("NZSP", "Na3Zr2Si2PO12", None),
    ("LE", "Na3.5Zr1.5Lu0.5Si2PO12", 0.56),
    ("ME1", "Na3.5Zr1.0Ti0.5Lu0.5Si2PO12", None),
    ("ME2", "Na3.5Zr0.5Ti0.5Hf0.5Lu0.5Si2PO12", None),
    ("HE1", "Na3.6Zr0.5Ti0.5Hf0.4Lu0.5Ga0.1Si2PO12", 1.51),
    ("HE2", "Na3.6Zr0.5Ti0.5Hf0.4Lu0.5Sc0.1Si2PO12", None),
]
ACCURACIES = {"KNN": 61.5, "DT": 69.2, "SVM": 84.6, "GNB": 92.3, "MLP": 69.2}


def entropy_R(counts: tuple[int, ...]) -> float:
    return -sum(n / sum(counts) * math.log(n / sum(counts)) for n in counts)


def lzsp() -> None:
    print("== Fu et al. (LZSP)")
    off = {name: entropy_R(PROPORTION_TYPES[name]) - stated for name, stated in TABLE_S2.items()}
    print(f"table S2: 18 entropies, largest difference {max(map(abs, off.values())):.4f} R")
    high = sum(stated >= 1.5 for stated in TABLE_S2.values())
    print(f"          high {high}, medium {sum(stated >= 1 for stated in TABLE_S2.values()) - high}")
    host = load_host("lzsp")
    for formula, dft_s, dft, fast_s, fast, stated, _ in TABLE_1:
        occupation = read_formula(formula, host)
        change = 100 * abs(fast / dft - 1)
        flag = "" if abs(change - stated) < 0.006 else f"  (stated {stated})"
        entropy, faster = occupation.entropy_R, dft_s / fast_s
        print(f"table 1: {formula:34s} neutral, {entropy:.3f} R, volume {change:.2f} %{flag}, {faster:.0f} x")
    below = sum(stated < 1 for *_, stated, _ in TABLE_1)
    print(f"         volume within 1 % in {below} of 9, RSSD below 1 Å in {sum(r < 1 for *_, r in TABLE_1)} of 9")
    printed = "Li2.625Zr0.25Hf0.1875Sn0.1875Ti0.1875Nb0.1875Si2PO12"
    doubled = "Li2.625Zr0.5Hf0.375Sn0.375Ti0.375Nb0.375Si2PO12"
    try:
        read_formula(printed, host)
    except ValueError as error:
        print(f"LZHSTNSP as printed: {error}")
    print(f"LZHSTNSP with twice the amounts: neutral, {read_formula(doubled, host).entropy_R:.3f} R")
    cells = round(np.linalg.det([[1, 1, -1], [-1, 1, 1], [1, -1, 1]]))
    print(f"supercell: {cells} primitive cells of 4 Zr sites (stated: 16 Zr sites)")
    gain = math.log10(math.exp((0.46 - 0.24) / (units.kB * 300)))
    print(f"E_a 0.46 to 0.24 eV at 300 K with equal prefactors: {gain:.1f} orders of magnitude (stated: three)")
    ratios = [dft_s / fast_s for _, dft_s, _, fast_s, *_ in TABLE_1]
    print(f"relaxation by CHGNet instead of DFT: {min(ratios):.0f} to {max(ratios):.0f} times faster")


def conductivities() -> None:
    """Total conductivity (mS/cm) of bulk and grain boundary in series; whose bulk value is which is not stated."""
    for name, boundary, total in (("ME1", 2.16, 1.30), ("NZSP", 0.29, 0.26)):
        low, high = (1 / (1 / bulk + 1 / boundary) for bulk in (2.95, 2.98))
        print(f"{name}: bulk 2.95-2.98, boundary {boundary}, in series {low:.3f}-{high:.3f} (stated {total:.2f})")
    print(f"ME1 over NZSP: boundary {2.16 / 0.29:.1f} times (stated 7.4), total {1.30 / 0.26:.1f} times (stated 5)")


def nasicons() -> None:
    print("== Zuo et al. (entropy-stabilised NASICON)")
    host = load_host("nzsp")
    for name, formula, stated in NASICONS:
        radius, electronegativity, valence, entropy = read_formula(formula, host).descriptors()
        said = "" if stated is None else f" (stated {stated})"
        print(f"{name:5s} {entropy:.3f} R{said}, {radius:.2f} pm, chi {electronegativity:.3f}, valence {valence:.2f}")
    print(f"five equal elements {entropy_R((1,) * 5):.3f} R (stated maximum 1.609)")
    print(f"5 % of one dopant {entropy_R((19, 1)):.3f} R (stated minimum 0.199)")
    hafnium_8, hafnium_6 = shannon_radius_A("Hf", 4, "VIII"), shannon_radius_A("Hf", 4)
    gallium, lutetium = shannon_radius_A("Ga", 3), shannon_radius_A("Lu", 3)
    print(f"Lu3+ {lutetium:.3f} Å (stated 0.86), Ga3+ {gallium:.2f} Å (stated 0.62)")
    print(
        f"Hf4+ minus Ga3+ (stated 0.21 Å): {hafnium_6 - gallium:.2f} Å; {hafnium_8 - gallium:.2f} Å with Hf eightfold"
    )
    print(f"largest mismatch in HE1: Lu3+ minus Ti4+ {lutetium - shannon_radius_A('Ti', 4):.2f} Å")
    sizes = [
        n for n in range(2, 59)
        if all(abs(100 * round(percent / 100 * n) / n - percent) < 0.051 for percent in ACCURACIES.values())
    ]  # fmt: skip
    print(f"all five accuracies are multiples of 1/n for n = {', '.join(map(str, sizes))} of at most 58 compositions")
    n = sizes[0]
    right = {name: round(percent / 100 * n) for name, percent in ACCURACIES.items()}
    for name, k in sorted(right.items(), key=lambda item: -item[1]):
        interval = binomtest(k, n).proportion_ci(method="wilson")
        print(f"  {name}: {k} of {n}, 95 % interval {interval.low:.0%} to {interval.high:.0%}")
    table = [[right["GNB"], n - right["GNB"]], [right["KNN"], n - right["KNN"]]]
    print(f"  GNB against KNN, Fisher's exact test: p = {fisher_exact(table).pvalue:.2f}")


if __name__ == "__main__":
    lzsp()
    nasicons()
    conductivities()
