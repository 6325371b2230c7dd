"""How well step latency is predicted on recorded calls, what that is worth to a router, and what it costs.

A model is fitted to the calls of one half of the prompts and judged on the other half, which it has never seen;
settings were chosen by cross-validation inside the first half of seed 0. The halves of further seeds share prompts
with each other, so their interval is that of the split alone.

    python benchmarks/latency_model.py --train telemetry.csv.gz [--test other.csv] [--splits N] [--quick] [--json]

Without ``--train`` only the cost is measured.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _common import Bench, arguments, percentile
from _latency_front import front, resamples
from _latency_table import (
    STRATEGIES,
    STRATEGY,
    Calls,
    Predictions,
    describe,
    load_calls,
    mae_s,
    median_ape,
    predict,
)

from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.router.actions import DEFAULT_STRATEGIES, strategies_by_name
from inframind.router.latency_fit import fit
from inframind.router.latency_learned import LearnedLatencyModel

GRID_S = np.arange(12.0, 41.0)
WINDOW = 250


def main() -> None:
    """Measure, and print."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--train", type=Path, help="recorded calls (CSV, may be gzipped)")
    parser.add_argument("--test", type=Path, help="other recorded calls; default: the other half of --train")
    parser.add_argument("--splits", type=int, default=20, help="random halves (default 20; 3 with --quick)")
    options = parser.parse_args()
    bench = Bench(title="Latency model", packages=("numpy",), seed=options.seed)
    if options.train:
        whole = load_calls(options.train)
        is_same = options.test is None or options.test.resolve() == options.train.resolve()
        train, test = whole.halves(options.seed) if is_same else (whole, load_calls(options.test))
        predicted = judge(bench, train, test)
        resampled = 200 if options.quick else 2000
        judge_front(bench, "front", test, predicted, resampled=resampled, seed=options.seed)
        if is_same:
            both = cross_fitted(whole, options.seed)
            judge_front(bench, "front_both_halves", whole, both, resampled=resampled, seed=options.seed)
            judge_splits(bench, whole, 3 if options.quick else options.splits, options.seed)
        judge_online(bench, whole)
        judge_slowdown(bench, whole, models=1 if options.quick else len(whole.models))
    measure_cost(bench, repeats=300 if options.quick else 3000)
    bench.print(as_json=options.json)


def fitted(train: Calls) -> LearnedLatencyModel:
    models = describe(train.models)
    return LearnedLatencyModel(models, STRATEGIES, state=fit(train.samples(), models, STRATEGIES))


# Unseen prompts --------------------------------------------------------------------------------------------


def judge(bench: Bench, train: Calls, test: Calls) -> Predictions:
    """Errors and coverage on the test half."""
    began = time.perf_counter()
    model = fitted(train)
    bench.add_figure("fit_s", time.perf_counter() - began, "s", f"{len(train) * len(train.models)} calls")
    predicted, measured_s = predict(model, test), test["latency_s"]
    bench.add_figure("test_calls", measured_s.size)
    bench.add_bar("known_length_median_ape", median_ape(predicted.known_length_s, measured_s), 0.12, "share")
    bench.add_bar("known_length_mae_s", mae_s(predicted.known_length_s, measured_s), 5.0, "s")
    report_reference(bench, test)
    bench.add_figure("predicted_length_median_ape", median_ape(predicted.q50_s, measured_s), "share")
    bench.add_figure("predicted_length_mae_s", mae_s(predicted.q50_s, measured_s), "s")
    report_coverage(bench, predicted, measured_s)
    for place, name in enumerate(test.models):
        ours_s, true_s = predicted.known_length_s[:, place], measured_s[:, place]
        note = f"MAE {mae_s(ours_s, true_s):.2f} s, known length"
        bench.add_figure(f"{name}_median_ape", median_ape(ours_s, true_s), "share", note)
    return predicted


def report_reference(bench: Bench, test: Calls) -> None:
    """The published predictor on the same calls; it may have been trained on some of them."""
    measured_s = test["latency_s"]
    known_s = test["ref_pred_ttft_s"] + test["completion_tokens"] * test["ref_pred_tpot_s"]
    bench.add_figure("published_known_length_median_ape", median_ape(known_s, measured_s), "share")
    bench.add_figure("published_known_length_mae_s", mae_s(known_s, measured_s), "s")
    own_s = published_cost_s(test)
    bench.add_figure("published_predicted_length_median_ape", median_ape(own_s, measured_s), "share")
    bench.add_figure("published_predicted_length_mae_s", mae_s(own_s, measured_s), "s")


def report_coverage(bench: Bench, predicted: Predictions, measured_s: np.ndarray) -> None:
    below_q50, below_q90 = measured_s <= predicted.q50_s, measured_s <= predicted.q90_s
    by_model = below_q90.mean(axis=0)
    bench.add_figure("q50_coverage", below_q50.mean(), "share")
    bench.add_figure("q50_coverage_worst_model", extreme(below_q50.mean(axis=0), 0.5), "share")
    bench.add_bar("q90_coverage", below_q90.mean(), 0.87, "share", direction="at least")
    bench.add_bar("q90_coverage_excess", below_q90.mean(), 0.93, "share")
    bench.add_bar("q90_coverage_lowest_model", by_model.min(), 0.80, "share", direction="at least")
    bench.add_bar("q90_coverage_highest_model", by_model.max(), 0.97, "share")


def extreme(values: np.ndarray, target: float) -> float:
    """The value that is farthest from the target."""
    return float(values[np.argmax(np.abs(values - target))])


def judge_splits(bench: Bench, whole: Calls, splits: int, seed: int) -> None:
    """The same figures over many halves, and how far they scatter."""
    rows = []
    for split in range(seed, seed + splits):
        train, test = whole.halves(split)
        predicted, measured_s = predict(fitted(train), test), test["latency_s"]
        published_s = test["ref_pred_ttft_s"] + test["completion_tokens"] * test["ref_pred_tpot_s"]
        rows.append(
            {
                "published_known_length_median_ape": median_ape(published_s, measured_s),
                "published_known_length_mae_s": mae_s(published_s, measured_s),
                "known_length_median_ape": median_ape(predicted.known_length_s, measured_s),
                "known_length_mae_s": mae_s(predicted.known_length_s, measured_s),
                "predicted_length_median_ape": median_ape(predicted.q50_s, measured_s),
                "predicted_length_mae_s": mae_s(predicted.q50_s, measured_s),
                "q50_coverage": float((measured_s <= predicted.q50_s).mean()),
                "q90_coverage": float((measured_s <= predicted.q90_s).mean()),
                "front_lowest_margin": float(margins(test, predicted, 0, seed)[:, 0].min()),
            }
        )
    for name in rows[0]:
        values = [row[name] for row in rows]
        note = (
            f"{splits} halves; 95 % of them {percentile(values, 2.5):.4f} to {percentile(values, 97.5):.4f}"
        )
        bench.add_figure(f"splits_{name}", float(np.mean(values)), "", note)


# What it is worth ------------------------------------------------------------------------------------------


def published_cost_s(calls: Calls) -> np.ndarray:
    """The published router's own expected seconds: its three predictors."""
    return calls["ref_pred_ttft_s"] + calls["ref_carrot_length"] * calls["ref_pred_tpot_s"]


def margins(test: Calls, predicted: Predictions, resampled: int, seed: int) -> np.ndarray:
    """Quality of our front above the published one's at each mean latency (G, 1 + resamples).

    Both choose with the published router's quality predictions; only the seconds differ.
    """
    judged = ~np.isnan(test["quality"]).any(axis=1)
    weights = resamples(int(judged.sum()), resampled, seed)
    fronts = [
        front(
            test["ref_irt_quality"][judged],
            cost_s[judged],
            test["quality"][judged],
            test["latency_s"][judged],
            weights,
        )
        for cost_s in (predicted.q50_s, published_cost_s(test))
    ]
    ours, theirs = (one.quality_at(GRID_S) for one in fronts)
    difference: np.ndarray = ours - theirs
    return difference


def cross_fitted(whole: Calls, seed: int) -> Predictions:
    """Of every prompt, by the model that was fitted to the other half."""
    first = whole.half(seed)
    predicted = {
        side: predict(fitted(whole.take(first != side)), whole.take(first == side)) for side in (True, False)
    }

    def joined(column: str) -> np.ndarray:
        values = np.empty((len(whole), len(whole.models)))
        for side, predictions in predicted.items():
            values[first == side] = getattr(predictions, column)
        return values

    return Predictions(known_length_s=joined("known_length_s"), q50_s=joined("q50_s"), q90_s=joined("q90_s"))


def judge_front(
    bench: Bench, name: str, test: Calls, predicted: Predictions, *, resampled: int, seed: int
) -> None:
    """Our quality-latency front against the published one's, from 12 to 40 s."""
    above = margins(test, predicted, resampled, seed)
    point, low, high = above[:, 0], *np.quantile(above[:, 1:], [0.025, 0.975], axis=1)
    bench.add_bar(f"{name}_lowest_margin", point.min(), 0.0, "quality", direction="at least")
    lowest = int(point.argmin())
    note = f"95 % interval there {low[lowest]:+.4f} to {high[lowest]:+.4f}"
    bench.add_figure(f"{name}_lowest_at_s", GRID_S[lowest], "s", note)
    mean_low, mean_high = np.quantile(above[:, 1:].mean(axis=0), [0.025, 0.975])
    note = f"95 % interval {mean_low:+.4f} to {mean_high:+.4f}"
    bench.add_figure(f"{name}_mean_margin", point.mean(), "quality", note)
    below = GRID_S[point < 0]
    bench.add_figure(f"{name}_points_below", len(below), "of 29", " ".join(f"{at_s:.0f}" for at_s in below))
    bench.add_figure(f"{name}_points_surely_below", int((high < 0).sum()), "of 29")
    bench.add_figure(f"{name}_points_surely_above", int((low > 0).sum()), "of 29")


# Learning while serving ------------------------------------------------------------------------------------


def judge_online(bench: Bench, whole: Calls) -> None:
    """From nothing, in prompt order: the error of the calls that follow the first 0, 100, 500 and 2,000."""
    model = LearnedLatencyModel(describe(whole.models), STRATEGIES)
    ratios, below_q90 = serve(model, whole, lambda call, place: 1.0)
    for seen in (0, 100, 500, 2000):
        window = slice(seen, seen + WINDOW)
        note = f"next {WINDOW} calls; q90 covers {below_q90[window].mean():.3f}"
        bench.add_figure(
            f"online_median_ape_after_{seen}", np.median(np.abs(ratios[window] - 1)), "share", note
        )


def judge_slowdown(bench: Bench, whole: Calls, *, models: int) -> None:
    """One model becomes twice as slow after 2,000 calls: predicted over measured in its calls after that."""
    after: list[np.ndarray] = []
    for slow in range(models):
        model = LearnedLatencyModel(describe(whole.models), STRATEGIES)
        ratios, _ = serve(
            model,
            whole,
            lambda call, place, slow=slow: 2.0 if place == slow and call >= 2000 else 1.0,
            stop=3000,
        )
        after.append(ratios.reshape(-1, len(whole.models))[400:, slow])
    ratios_after = np.array(after)
    for begin, end in ((0, 5), (5, 10), (10, 20), (20, 40), (40, 80), (80, 160)):
        value = np.median(ratios_after[:, begin:end])
        bench.add_figure(f"slowdown_ratio_calls_{begin + 1}_to_{end}", value, "predicted / measured")


def serve(
    model: LearnedLatencyModel, calls: Calls, slowdown: Callable[[int, int], float], stop: int = 10**9
) -> tuple[np.ndarray, np.ndarray]:
    """Predict, then learn, call by call; predicted over measured with known length, and whether q90 covered it."""
    ratios, below_q90 = [], []
    for prompt in range(min(len(calls), stop // len(calls.models))):
        snapshot, prompt_tokens = calls.snapshot(prompt), int(calls["prompt_tokens"][prompt, 0])
        for place, name in enumerate(calls.models):
            factor = slowdown(len(ratios), place)
            latency_s = factor * float(calls["latency_s"][prompt, place])
            tokens = int(calls["completion_tokens"][prompt, place])
            parts = model.predict_parts(snapshot, prompt_tokens)
            ratios.append((parts.ttft_s[place] + tokens * parts.tpot_s[place]) / latency_s)
            below_q90.append(latency_s <= model.predict(snapshot, prompt_tokens).q90_s[place, 0])
            model.observe(
                name,
                STRATEGY,
                snapshot,
                prompt_tokens,
                latency_s,
                ttft_s=factor * float(calls["ttft_s"][prompt, place]),
                output_tokens=tokens,
            )
    return np.array(ratios), np.array(below_q90)


# What it costs ---------------------------------------------------------------------------------------------


def measure_cost(bench: Bench, *, repeats: int) -> None:
    """Microseconds of a whole map and of learning one call, in one thread."""
    for endpoints in (5, 50):
        model, snapshot = busy_fleet(endpoints)
        us = timings_us(
            lambda call, model=model, snapshot=snapshot: model.predict(snapshot, 100 + call), repeats
        )
        name = f"map_{endpoints}x3_p50_us"
        if endpoints == 5:
            bench.add_bar(name, percentile(us, 50), 150.0, "us")
        else:
            bench.add_figure(name, percentile(us, 50), "us")
        bench.add_figure(f"map_{endpoints}x3_p99_us", percentile(us, 99), "us")
    for endpoints in (5, 50):
        model, snapshot = busy_fleet(endpoints)
        us = timings_us(
            lambda call, model=model, snapshot=snapshot, endpoints=endpoints: model.observe(
                f"m{call % endpoints}", "Flash", snapshot, 100, 2.0, ttft_s=0.5, output_tokens=40 + call % 9
            ),
            repeats,
        )
        bench.add_figure(
            f"observe_{endpoints}x3_mean_us", float(np.mean(us)), "us", "eight calls are learned together"
        )


def busy_fleet(endpoints: int) -> tuple[LearnedLatencyModel, FleetSnapshot]:
    names = [f"m{place}" for place in range(endpoints)]
    specs = [
        EndpointSpec(name=name, base_url="http://gpu/v1", model=name, size_b=3.0 + place % 30)
        for place, name in enumerate(names)
    ]
    loads = {
        name: EndpointLoad(
            endpoint=name,
            model=name,
            age_s=0.2,
            running=float(place % 40),
            waiting=float(place % 3),
            kv_cache_usage=0.02 * (place % 40),
            in_flight=2,
            sent_since=place % 2,
        )
        for place, name in enumerate(names)
    }
    model = LearnedLatencyModel(group_by_model(specs), strategies_by_name(DEFAULT_STRATEGIES[:3]))
    return model, FleetSnapshot(taken_s=0.0, loads=loads)


def timings_us(work: Callable[[int], object], repeats: int) -> list[float]:
    for call in range(50):
        work(call)
    gc.collect()
    taken_us = []
    for call in range(repeats):
        began = time.perf_counter_ns()
        work(call)
        taken_us.append((time.perf_counter_ns() - began) / 1e3)
    return taken_us


if __name__ == "__main__":
    main()
