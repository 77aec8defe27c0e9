"""Which strategy wins over all tasks together: `python -m benchmarks.agent.across_tasks`.

Labels that a strategy needs to 50 % and to 80 % of the targets, over those of the best one of that task, from the
metrics.csv that `nasicon_backtest` and `barriers_dft` left. Who does not get there within the campaign's labels is
counted with all of them (marked >): it would need more. The last columns are the geometric mean and the worst.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).parents[1] / "data"
TASKS = {
    "nasicon-all": "pool",
    "barriers-all-with": "barriers, MACE",
    "barriers-all-without": "barriers",
    "barriers-no-lithium-with": "no lithium, MACE",
    "barriers-no-lithium-without": "no lithium",
}
LABELS = ["labels_to_50", "labels_to_80"]
#: Labels of a campaign in both benchmarks.
BUDGET = 160


def main() -> None:
    tables = {task: pd.read_csv(DATA / task / "metrics.csv", index_col="strategy")[LABELS] for task in TASKS}
    names = set.intersection(*(set(table.index) for table in tables.values())) - {"random", "stratified"}
    ratios = {task: table.fillna(BUDGET) / table.min() for task, table in tables.items()}
    logs = {name: np.log([ratio.loc[name] for ratio in ratios.values()]) for name in names}
    print("| strategy | " + " | ".join(TASKS.values()) + " | geometric mean | worst |")
    print("|---|" + "---|" * (len(TASKS) + 2))
    for name in sorted(names, key=lambda name: logs[name].mean()):
        cells = [
            ", ".join(
                ("> " if np.isnan(tables[task].at[name, goal]) else "") + f"{ratio.at[name, goal]:.2f}"
                for goal in LABELS
            )
            for task, ratio in ratios.items()
        ]
        worst, mean = np.exp(logs[name].max()), np.exp(logs[name].mean())
        print(f"| {name} | {' | '.join(cells)} | {mean:.2f} | {worst:.2f} |")


if __name__ == "__main__":
    main()
