"""What a bridge says of judges whose relation to the old one is known."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.support.reference import reference_dir
from tests.ugc_tasks.bridge.judges import LONG, ORDER_ALONE, WITH_A_MAP, WITHOUT, Judge
from ugc_tasks.bridge.document import read_folder
from ugc_tasks.bridge.fit import FEWEST, Paired, fit, line_of
from ugc_tasks.bridge.plan import drawn_scores
from ugc_tasks.judge.parsing import DIMENSIONS

MODELS, CLIPS = 12, 300
SEEDS = 90
"""Draws of old scores and of a judge; each has a prediction for each of its models left out."""

Array = Any


def paired(old: Array, new: Array, models: list[int] | None = None) -> list[Paired]:
    ids = [f"PI-{clip}" for clip in range(old.shape[1])]
    return [
        Paired(str(m), ids, 20 * old[m], 20 * new[m])
        for m in (range(len(old)) if models is None else models)
    ]


def drawn(judge: Judge, seed: int, models: int = MODELS, clips: int = CLIPS) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    old = drawn_scores(models, clips, random)
    length = random.normal(0, 0.7, (models, clips)) + random.normal(0, 0.7, (models, 1))
    return old, judge(old, length, random)


def coverage(judge: Judge, models: int, seeds: int) -> tuple[float, int]:
    """Return the share of unseen models whose average lies in its interval, and how many."""
    holds = []
    for seed in range(seeds):
        old, new = drawn(judge, seed, models)
        line = line_of(paired(old, new))
        for unseen in range(models):
            values, half = line.without(unseen).restate(20 * new[unseen].mean(0), CLIPS)
            holds.append(abs(values[3] - 20 * old[unseen].mean()) <= half[3])
    return float(np.mean(holds)), len(holds)


@pytest.mark.parametrize("name", WITH_A_MAP)
def test_intervals_hold_for_unseen_models_where_there_is_a_map(name: str) -> None:
    share, draws = coverage(WITH_A_MAP[name], MODELS, SEEDS)
    assert draws >= 500
    assert 0.93 <= share <= 0.97, share


@pytest.mark.parametrize("models", [5, 8])
def test_they_hold_with_few_models_too(models: int) -> None:
    share, _ = coverage(WITH_A_MAP["compressed"], models, 540 // models)
    assert 0.93 <= share <= 0.98, share


def verdicts(judge: Judge, seeds: int = 12, models: int = MODELS) -> Counter[str]:
    return Counter(
        fit(paired(*drawn(judge, seed, models, 999)))["verdict"] for seed in range(seeds)
    )


@pytest.mark.parametrize("name", WITH_A_MAP)
def test_a_map_is_found_where_there_is_one(name: str) -> None:
    assert verdicts(WITH_A_MAP[name])["levels"] >= 10


@pytest.mark.parametrize("name", ORDER_ALONE)
def test_only_the_order_carries_over_where_models_are_favoured(name: str) -> None:
    assert verdicts(ORDER_ALONE[name])["ranks"] >= 9


@pytest.mark.parametrize("name", WITHOUT)
@pytest.mark.parametrize("models", [4, MODELS])
def test_there_is_no_map_to_a_judge_that_looks_at_something_else(name: str, models: int) -> None:
    assert verdicts(WITHOUT[name], models=models)["unfit"] >= 11


def test_a_judge_that_favours_long_captions_gives_no_levels() -> None:
    assert verdicts(LONG)["levels"] == 0


def test_shift_and_slope_are_those_of_the_way_back() -> None:
    old, _ = drawn(WITH_A_MAP["shifted"], 0)
    new = 1 + (old - 1) / 2  # half the range, not rounded
    found = fit(paired(old, new))
    for name in (*DIMENSIONS, "average"):
        figures = found["figures"][name]
        assert figures["slope"] == pytest.approx(2)
        assert figures["shift"] == pytest.approx(-20)
        assert figures["left_out_error"]["mean"] < 0.5
        assert figures["pearson"] == pytest.approx(1)
    assert found["verdict"] == "levels"


def test_kappa_is_cohens_with_quadratic_weights() -> None:
    old, new = drawn(WITH_A_MAP["shifted"], 0)
    table = np.zeros((6, 6))
    np.add.at(table, (old[..., 0].ravel().astype(int), new[..., 0].ravel().astype(int)), 1)
    table /= table.sum()
    weight = np.subtract.outer(np.arange(6), np.arange(6)) ** 2
    chance = np.outer(table.sum(1), table.sum(0))
    kappa = 1 - (weight * table).sum() / (weight * chance).sum()
    assert fit(paired(old, new))["figures"]["visual"]["kappa"] == pytest.approx(kappa)


def test_few_models_are_said_to_be_few() -> None:
    old, new = drawn(WITH_A_MAP["the same, noisy"], 0)
    for count in range(FEWEST):
        found = fit(paired(old, new, list(range(count))))
        assert found["verdict"] == "unfit"
        assert f"{count} models" in found["reasons"][0]


def test_fewer_models_make_a_wider_interval() -> None:
    old, new = drawn(WITH_A_MAP["noisier"], 0)
    wide, wider = (
        fit(paired(old, new, list(range(count))))["figures"]["average"]["half_width"]
        for count in (MODELS, 4)
    )
    assert wider > 1.5 * wide


def test_more_clips_in_the_run_than_in_the_bridge_make_a_narrower_one() -> None:
    old, new = drawn(WITH_A_MAP["noisier"], 0)
    line = line_of(paired(old, new))
    halves = [line.restate(line.new.mean(0), n)[1][3] for n in (50, CLIPS, 1000)]
    assert halves == sorted(halves, reverse=True)
    assert halves[0] > 1.3 * halves[1]


def test_recorded_scores_of_four_models_bridge_to_a_judge_made_of_them() -> None:
    files = read_folder(reference_dir() / "scores")
    shared = [
        i for i in next(iter(files.values())).clips if all(i in f.clips for f in files.values())
    ]
    old = np.array([[[f.clips[i][d] for d in DIMENSIONS] for i in shared] for f in files.values()])
    new = WITH_A_MAP["shifted"](old / 20, np.zeros(old.shape[:2]), np.random.default_rng(0))
    found = fit(paired(old / 20, new))
    assert found["verdict"] == "levels"
    assert found["figures"]["average"]["pearson"] > 0.99
