"""What a bridge says of judges whose relation to the old one is known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.reference import reference_dir
from tests.ugc_tasks.bridge.judges import WITH_A_MAP, drawn, paired
from ugc_tasks.bridge.document import read_folder
from ugc_tasks.bridge.fit import FEWEST, fit
from ugc_tasks.bridge.line import line_of
from ugc_tasks.judge.parsing import DIMENSIONS

MODELS, CLIPS = 12, 300


def test_shift_and_slope_are_those_of_the_way_back() -> None:
    old, _ = drawn(WITH_A_MAP["shifted"], 0, MODELS, CLIPS)
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
    old, new = drawn(WITH_A_MAP["shifted"], 0, MODELS, CLIPS)
    table = np.zeros((6, 6))
    np.add.at(table, (old[..., 0].ravel().astype(int), new[..., 0].ravel().astype(int)), 1)
    table /= table.sum()
    weight = np.subtract.outer(np.arange(6), np.arange(6)) ** 2
    chance = np.outer(table.sum(1), table.sum(0))
    kappa = 1 - (weight * table).sum() / (weight * chance).sum()
    assert fit(paired(old, new))["figures"]["visual"]["kappa"] == pytest.approx(kappa)


def test_few_models_are_said_to_be_few() -> None:
    old, new = drawn(WITH_A_MAP["the same, noisy"], 0, MODELS, CLIPS)
    for count in range(FEWEST):
        found = fit(paired(old, new, list(range(count))))
        assert found["verdict"] == "unfit"
        assert f"{count} models" in found["reasons"][0]


def test_fewer_models_make_a_wider_interval() -> None:
    halves = {MODELS: 0.0, 4: 0.0}
    for seed in range(4):
        old, new = drawn(WITH_A_MAP["with small favours"], seed, MODELS, CLIPS)
        for count in halves:
            line = line_of(paired(old, new, range(count)))
            halves[count] += line.restate(line.new.mean(0), CLIPS)[1][3]
    assert halves[4] > 1.1 * halves[MODELS]


def test_more_clips_in_the_run_than_in_the_bridge_make_a_narrower_one() -> None:
    old, new = drawn(WITH_A_MAP["noisier"], 0, MODELS, CLIPS)
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
