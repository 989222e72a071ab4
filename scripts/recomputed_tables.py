"""The second opinion of scripts/check-tables: every number computed from the items, none taken from another table."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

POWER = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) ** 2
RESAMPLES = 2000


class Check:
    """Counts what agrees and tells what does not."""

    def __init__(self):
        self.counts = {}
        self.wrong = []

    def near(self, what, where, ours, theirs, tolerance=1e-9):
        self.counts[what] = self.counts.get(what, 0) + 1
        missing = [value is None or (isinstance(value, float) and math.isnan(value)) for value in (ours, theirs)]
        if all(missing):
            return
        if any(missing) or abs(ours - theirs) > tolerance * max(1.0, abs(theirs)):
            self.wrong.append(f"{what} of {where}: recomputed {ours}, the table has {theirs}")

    def same(self, what, where, ours, theirs):
        self.counts[what] = self.counts.get(what, 0) + 1
        if ours != theirs:
            self.wrong.append(f"{what} of {where}: recomputed {ours!r}, the table has {theirs!r}")


class Sweep:
    def __init__(self, folder):
        self.folder = folder
        self.manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.judging = self.manifest.get("judging") or {"tolerance": 0.02}
        self.variants = [variant["name"] for variant in self.manifest["variants"]]
        self.trials = {(trial["variant"], trial["suite"]): trial["id"]
                       for trial in self.manifest["trials"] if trial["kind"] == "suite"}

    def table(self, name):
        return pd.read_csv(self.folder / f"{name}.csv")

    def items(self, variant, suite):
        """Lines of the items of a trial; None where there are none."""
        path = self.folder / "items" / f"{self.trials.get((variant, suite))}.csv.gz"
        return pd.read_csv(path, low_memory=False) if path.exists() else None

    def scores(self, variant, suite, metric):
        """What each item is worth, by its index, and whether each is right or wrong."""
        lines = self.items(variant, suite)
        if lines is None or "status" not in lines:  # A text has tokens, and no items that are worth something.
            return pd.Series(dtype=float)
        lines = lines[lines["status"] == "scored"].drop_duplicates("index").set_index("index")
        if metric in lines:
            worth = lines["true_mass"] if "true_mass" in lines and lines["true_mass"].notna().any() else lines[metric]
            return worth.astype(float)
        grades = lines["grades"].map(json.loads)
        parts = grades.map(lambda grade: grade.get(metric)).dropna()
        right, of = parts.map(lambda part: part[0]), parts.map(lambda part: part[1])
        ratio = right.sum() / of.sum() if of.sum() else math.nan
        return ratio + (right - ratio * of) / of.mean()

    def telling(self, variant, suite, metric):
        """Items that have a part in a metric."""
        lines = self.items(variant, suite)
        lines = lines[lines["status"] == "scored"].drop_duplicates("index")
        if metric in lines:
            return len(lines)
        parts = lines["grades"].map(json.loads).map(lambda grade: grade.get(metric, [0.0, 0.0])[1])
        return int((parts > 0).sum())


def clustered(values, ids):
    """The error of a mean over items in clusters, never below that of as many that share nothing; and the clusters."""
    n, iid = len(values), stats.sem(values) if len(values) > 1 else math.nan
    if ids is None:
        return iid, n
    deviations = values - values.mean()
    between = sum(deviations[ids == one].sum() ** 2 - (deviations[ids == one] ** 2).sum() for one in set(ids))
    return max(iid, math.sqrt(max(0.0, iid**2 + between / n**2))), len(set(ids))


def difference(base, own, clusters):
    """Everything a comparison tells, from the items that both have."""
    pairs = pd.concat([base, own], axis=1, keys=["b", "v"]).dropna()
    n = len(pairs)
    if n == 0:
        return None
    d = (pairs["v"] - pairs["b"]).to_numpy()
    binary = pairs.isin([0.0, 1.0]).all().all()
    iid = stats.sem(d) if n > 1 else math.nan
    error, groups = clustered(d, np.array([clusters[index] for index in pairs.index]) if clusters else None)
    effect = error / iid if iid and iid > 0 else 1.0
    lost, won = int((d < 0).sum()), int((d > 0).sum())
    found = {"delta": d.mean(), "delta_stderr": error, "n": n}
    t_half = stats.t.ppf(0.975, groups - 1) * error if groups > 1 and error > 0 else math.nan
    t_p = 1.0 if d.mean() == 0 else 2 * stats.t.sf(abs(d.mean() / error), groups - 1) if error > 0 else math.nan
    if binary:
        low, high = (lost + 1) / (n + 2), (won + 1) / (n + 2)
        centre = high - low
        half = stats.norm.ppf(0.975) * math.sqrt((low + high - centre**2) / (n + 2)) * effect
        square = (lost + won + 1) / (n + 2)
        exact = mcnemar([[0, lost], [won, 0]], exact=True).pvalue if lost + won else 1.0
        found.update(flips_lost=lost, flips_won=won, p=t_p if groups < n else exact)
    else:
        centre, half, square = d.mean(), t_half, (d**2).mean()
        found.update(p=t_p)
    least = math.sqrt(POWER * square / (n + POWER)) * effect if square > 0 else math.nan
    found.update(ci_low=centre - half, ci_high=centre + half, detectable=least)
    return found


def compare_scores(sweep, check, suite, row, metrics):
    name, metric = suite["name"], row["metric"]
    base, own = (sweep.scores(variant, name, metric) for variant in (sweep.variants[0], row["variant"]))
    if base.empty or own.empty:
        return
    found = difference(base, own, suite.get("clusters"))
    where = f"{row['variant']} on {name}, {metric}"
    for column, value in (found or {}).items():
        if not (column.startswith("flips") and pd.isna(row[column])):
            check.near(f"comparisons.{column}", where, value, row[column])
    measured = metrics[(metrics["variant"] == row["variant"]) & (metrics["suite"] == name) & (metrics["metric"] == metric)]
    if len(measured) == 1 and own.isin([0.0, 1.0]).all():
        measured = measured.iloc[0]
        check.near("metrics.value", where, own.mean(), measured["value"])
        n = sweep.telling(row["variant"], name, metric)
        clusters = suite.get("clusters")
        if clusters:
            error, _ = clustered(own.to_numpy(), np.array([clusters[index] for index in own.index]))
            check.near("metrics.stderr", where, error, measured["stderr"])
            n *= (stats.sem(own) / error) ** 2 if error > 0 else 1.0
        if 0 < n < 300:
            low, high = proportion_confint(own.mean() * n, n, method="wilson")
            check.near("metrics.ci_low", where, low, measured["ci_low"])
            check.near("metrics.ci_high", where, high, measured["ci_high"])


def compare_holm(check, suites, rows):
    main = {suite["name"]: suite["main_metric"] for suite in suites}
    family = rows[rows.apply(lambda r: main.get(r["suite"]) == r["metric"] and not pd.isna(r["p"]), axis=1)]
    if len(family):
        adjusted = multipletests(family["p"], method="holm")[1]
        for (_, row), value in zip(family.iterrows(), adjusted):
            check.near("comparisons.p_holm", f"{row['variant']} on {row['suite']}", value, row["p_holm"])


def compare_shown(check, rows, tolerance):
    for _, row in rows[rows["shown"].notna()].iterrows():
        low, high = row["ci_low"], row["ci_high"]
        word = ("equal" if -tolerance <= low and high <= tolerance else "worse" if high < 0 else
                "better" if low > 0 else "open")
        check.same("comparisons.shown", f"{row['variant']} on {row['suite']}, {row['metric']}", word, row["shown"])


def compare_texts(sweep, check, suite, metrics):
    """Means over tokens, with intervals by whole chunks; of one text, several are put together in a way of their own."""
    if suite.get("corpora"):
        return
    for number, variant in enumerate(sweep.variants):
        lines = sweep.items(variant, suite["name"])
        if lines is None or "nll" not in lines:
            continue
        where = f"{variant} on {suite['name']}"
        table = metrics[(metrics["variant"] == variant) & (metrics["suite"] == suite["name"])].set_index("metric")
        chunks = lines.groupby("index")[["nll", "nll_base", "kld"]].agg(["sum", "count"])
        tokens = chunks[("nll", "count")].to_numpy()
        sums = {column: chunks[(column, "sum")].to_numpy() for column in ("nll", "nll_base", "kld")}
        found = {
            "ppl": lambda take: math.exp(sums["nll"][take].sum() / tokens[take].sum()),
            "ppl_ratio": lambda take: math.exp((sums["nll"][take] - sums["nll_base"][take]).sum() / tokens[take].sum()),
            "kld_mean": lambda take: sums["kld"][take].sum() / tokens[take].sum(),
        }
        generator = np.random.default_rng(number)
        takes = [generator.integers(0, len(tokens), len(tokens)) for _ in range(RESAMPLES)]
        for metric in (metric for metric in found if metric in table.index):
            row, value = table.loc[metric], found[metric]
            # The items' nats have as many digits as a 32-bit float.
            check.near(f"metrics.{metric}", where, value(slice(None)), row["value"], 1e-6)
            if row["ci_high"] > row["ci_low"] and len(tokens) > 1:
                low, high = np.percentile([value(take) for take in takes], [2.5, 97.5])
                # A percentile of 2,000 draws is this far off in one of some thousand cases.
                slack = 0.25 * (high - low)
                for what, ours, theirs in (("from", low, row["ci_low"]), ("to", high, row["ci_high"])):
                    check.near(f"metrics.{metric} {what}", where, ours, theirs, slack / max(1.0, abs(theirs)))


def compare_cliffs(sweep, check, comparisons, cliffs, variants):
    """Suites one by one: what their comparisons say, from the fewest bits up. (Groups of suites are pooled.)"""
    main = {suite["name"]: suite["main_metric"] for suite in sweep.manifest["suites"]}
    base = sweep.manifest["variants"][0]["kv"]
    plain = {v["name"]: variants.set_index("variant").loc[v["name"], "bpw"] for v in sweep.manifest["variants"][1:]
             if v["kv"] == base}
    for _, cliff in cliffs[cliffs["scope"] == "suite"].iterrows():
        own = comparisons[(comparisons["suite"] == cliff["name"]) & (comparisons["metric"] == main[cliff["name"]])]
        own = own[own["variant"].isin(plain) & own["shown"].notna()]
        own = own.assign(bpw=own["variant"].map(plain)).sort_values("bpw", kind="stable")
        words = list(own["shown"])
        lowest = [word != "worse" for word in words].index(True) if set(words) - {"worse"} else len(words)
        found = {
            "equal": next((v for v, word in zip(own["variant"], words) if word == "equal"), math.nan),
            "not_worse": next((v for v, word in zip(own["variant"], words) if word != "worse"), math.nan),
            "falls": own["variant"].iloc[lowest - 1] if lowest else math.nan,
        }
        for column, name in found.items():
            said = cliff[f"{column}_variant"]
            if not (pd.isna(name) and pd.isna(said)):
                check.same(f"cliffs.{column}", cliff["name"], name, said)
        if len(own):
            check.near("cliffs.detectable", cliff["name"], own["detectable"].iloc[-1], cliff["detectable"])


def draws(matrix, generator):
    """Means of every column over resampled rows."""
    n = len(matrix)
    return np.array([matrix[generator.integers(0, n, n)].mean(axis=0) for _ in range(RESAMPLES)])


def unbeaten(costs, losses):
    points = list(zip(costs, losses))
    return [not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points) for x, y in points]


def compare_frontiers(sweep, check, drawn):
    table = sweep.table("frontier")
    for axis, rows in table.groupby("axis_y"):
        name = axis.split(".")[0]
        if name not in drawn:
            continue
        matrix = drawn[name]
        rows = rows[rows["variant"].isin(matrix.columns)]
        losses = [-row["y"] for _, row in rows.iterrows()]
        for on, (_, row) in zip(unbeaten(rows["x"], losses), rows.iterrows()):
            check.same("frontier.on_frontier", f"{row['variant']} on {axis}", on, bool(row["on_frontier"]))
        shares = np.mean([unbeaten(rows["x"], -matrix.loc[r, rows["variant"]]) for r in matrix.index], axis=0)
        for _, row in rows.iterrows():
            smaller = rows[rows["x"] < row["x"]].sort_values("x", kind="stable")["variant"]
            worse = {v: (matrix[v] < matrix[row["variant"]]).mean() for v in smaller}
            # Where a share is this near to the limit two draws may differ.
            if not any(abs(share - 0.975) < 0.015 for share in worse.values()):
                tied = next((v for v, share in worse.items() if share < 0.975), "")
                said = row["tied_with"] if isinstance(row["tied_with"], str) else ""
                check.same("frontier.tied_with", f"{row['variant']} on {axis}", tied, said)
        for share, (_, row) in zip(shares, rows.iterrows()):
            # Two draws of 2,000 differ by less than .05 in all but one of a thousand cases.
            check.near("frontier.share", f"{row['variant']} on {axis}", share, row["share"], 0.05)


def main():
    sweep, check = Sweep(Path(sys.argv[1])), Check()
    comparisons, metrics, cliffs, variants = (
        sweep.table(name) for name in ("comparisons", "metrics", "cliffs", "variants"))
    suites = sweep.manifest["suites"]
    drawn = {}
    for number, suite in enumerate(suites):
        rows = comparisons[comparisons["suite"] == suite["name"]]
        compare_texts(sweep, check, suite, metrics)
        for _, row in rows[~rows["metric"].isin(["ppl", "kld_mean", "answer_tokens", "cut_off", "loops"])].iterrows():
            compare_scores(sweep, check, suite, row, metrics)
        scores = {v: sweep.scores(v, suite["name"], suite["main_metric"]) for v in sweep.variants}
        if cliffs["name"].eq(suite["name"]).any() and not any(one.empty for one in scores.values()):
            matrix = pd.DataFrame(scores)
            if suite.get("clusters") or matrix.isna().any().any():
                continue
            generator = np.random.default_rng(number)
            drawn[suite["name"]] = pd.DataFrame(draws(matrix.to_numpy(), generator), columns=matrix.columns)
    compare_holm(check, suites, comparisons)
    compare_shown(check, comparisons, sweep.judging["tolerance"])
    compare_cliffs(sweep, check, comparisons, cliffs, variants)
    compare_frontiers(sweep, check, drawn)
    composite = metrics[(metrics["suite"] == "composite") & (metrics["metric"] == "mean_score")]
    parts = cliffs[cliffs["scope"] == "composite"]["suites"].iloc[0].split() if len(composite) else []
    main_metric = {suite["name"]: suite["main_metric"] for suite in suites}
    weights = sweep.judging.get("weights", {})
    for _, row in composite.iterrows():
        means = [sweep.scores(row["variant"], part, main_metric[part]).mean() for part in parts]
        mean = np.average(means, weights=[weights.get(part, 1.0) for part in parts])
        check.near("composite", row["variant"], mean, row["value"])
    for what, count in sorted(check.counts.items()):
        print(f"{what:<28} {count:>5} compared")
    print(f"{sum(check.counts.values())} numbers, {len(check.wrong)} differ")
    for line in check.wrong[:40]:
        print(line)
    sys.exit(8 if check.wrong else 0)


if __name__ == "__main__":
    main()
