"""``bridge.json``: from two folders to a document, and a run restated by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ugc_tasks.bridge.judges import ORDER_ALONE, WITH_A_MAP, WITHOUT, Judge
from ugc_tasks.bridge.document import bridge, pair, read_folder
from ugc_tasks.bridge.plan import drawn_scores
from ugc_tasks.bridge.restate import bridged_difference, read_bridge
from ugc_tasks.common.files import DataError
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.results.scores import named_judge, read_scores

MODELS, CLIPS = 9, 200
NEW = "rubric/new-judge/0123456789ab"
OLD = "paper/old-judge/ba9876543210@localhost:1/v1"


def authors(path: Path, grades: Any) -> None:
    names = [f"{name}_score" for name in DIMENSIONS]
    clips = {
        f"PI-{n}": dict(zip(names, map(int, clip), strict=True)) for n, clip in enumerate(grades)
    }
    path.write_text(json.dumps({"evaluations": clips}))


def ours(path: Path, grades: Any, label: str) -> None:
    rows = [
        {
            "task": "caption",
            "video_id": f"PI-{n}",
            "judge": {"label": label},
            "failure": None,
            **dict(zip(DIMENSIONS, (20.0 * clip).tolist(), strict=True)),
        }
        for n, clip in enumerate(grades)
    ]
    path.write_text(json.dumps({"task": "caption", "items": rows}))


def folders(root: Path, judge: Judge, seed: int = 0) -> tuple[Path, Path]:
    """Write folders by an old judge (a model more) and by a new one; both name themselves."""
    random = np.random.default_rng(seed)
    old = drawn_scores(MODELS, CLIPS, random)
    new = judge(old, np.zeros(old.shape[:2]), random)
    for name in ("old", "new", "unseen"):
        (root / name).mkdir()
    for m in range(MODELS):
        ours(root / "old" / f"model-{m}.json", old[m], OLD)
        unseen = m == MODELS - 1
        ours(root / ("unseen" if unseen else "new") / f"model-{m}.json", new[m], NEW)
    return root / "old", root / "new"


def made(root: Path, judge: Judge = WITH_A_MAP["shifted"]) -> Path:
    path = root / "bridge.json"
    path.write_text(json.dumps(bridge(*folders(root, judge))))
    return path


def test_it_says_from_which_judge_to_which(tmp_path: Path) -> None:
    found = bridge(*folders(tmp_path, WITH_A_MAP["shifted"]))
    assert found["from"] == {
        "label": NEW, "model": "new-judge", "profile": "rubric", "prompt_sha256": "0123456789ab"
    }  # fmt: skip
    assert found["to"]["model"] == "old-judge"
    assert found["to"]["prompt_sha256"] == "ba9876543210"
    assert (found["kind"], found["schema"]) == ("ugc-videocap bridge", 2)
    assert found["n"] == (MODELS - 1) * CLIPS
    assert found["models"] == [f"model-{m}" for m in range(MODELS - 1)]
    assert found["unpaired"] == [f"model-{MODELS - 1}"]
    assert list(found["figures"]) == [*DIMENSIONS, "average"]
    assert found["verdict"] == "levels"
    assert "levels" in found["rule"]


def test_a_run_is_restated_with_wider_intervals_and_under_its_own_name(tmp_path: Path) -> None:
    found = read_bridge(made(tmp_path))
    run = read_scores(tmp_path / "unseen" / f"model-{MODELS - 1}.json")
    truth = read_scores(tmp_path / "old" / f"model-{MODELS - 1}.json")
    bridged = found.restate(run)
    assert bridged is not None
    assert bridged["name"] == f"bridged from {NEW} to {OLD}"
    for name in (*DIMENSIONS, "average"):
        mean = np.mean([clip[name] for clip in truth.clips.values()])
        low, high = bridged["same_answers95"][name]
        assert low <= mean <= high
        assert bridged["ci95"][name][0] < low < bridged[name] < high < bridged["ci95"][name][1]
    assert bridged["average"] == pytest.approx(np.mean([bridged[d] for d in DIMENSIONS]))


@pytest.mark.parametrize(
    ("judge", "verdict"),
    [(ORDER_ALONE["with favours"], "ranks"), (WITHOUT["random"], "unfit")],
)
def test_other_verdicts_give_no_figure_and_say_so(
    judge: Judge, verdict: str, tmp_path: Path
) -> None:
    found = read_bridge(made(tmp_path, judge))
    run = read_scores(tmp_path / "unseen" / f"model-{MODELS - 1}.json")
    assert found.verdict == verdict
    assert found.restate(run) is None
    assert verdict in found.said(None)


def test_a_run_by_another_judge_is_refused(tmp_path: Path) -> None:
    found = read_bridge(made(tmp_path))
    with pytest.raises(DataError, match="profile, model and prompt have to be the same"):
        found.restate(read_scores(tmp_path / "old" / "model-0.json"))


def test_a_file_without_a_judge_takes_the_one_that_is_named(tmp_path: Path) -> None:
    found = read_bridge(made(tmp_path))
    authors(tmp_path / "x.json", [(4, 3, 4), (3, 3, 3)])
    run = read_scores(tmp_path / "x.json")
    with pytest.raises(DataError, match="is not named"):
        found.restate(run)
    assert found.restate(named_judge(run, NEW)) is not None
    with pytest.raises(DataError, match="leave it out"):
        named_judge(read_scores(tmp_path / "old" / "model-0.json"), NEW)


def test_runs_of_both_judges_are_compared_on_the_old_scale(tmp_path: Path) -> None:
    found = read_bridge(made(tmp_path))
    new = read_scores(tmp_path / "unseen" / f"model-{MODELS - 1}.json")
    old = read_scores(tmp_path / "old" / "model-0.json")
    own = read_scores(tmp_path / "old" / f"model-{MODELS - 1}.json")
    difference = bridged_difference(found, new, own)
    assert difference["ci95"][0] < 0 < difference["ci95"][1]
    assert difference["verdict"] == "not distinguishable"
    across = bridged_difference(found, new, old)
    means = [np.mean([c["average"] for c in run.clips.values()]) for run in (own, old)]
    assert across["ci95"][0] <= means[0] - means[1] <= across["ci95"][1]
    assert bridged_difference(found, old, own)["difference"] is None


def test_files_pair_by_name_whatever_the_authors_put_at_its_end(tmp_path: Path) -> None:
    for folder, name in (("a", "Model_4o.json"), ("b", "model.json")):
        (tmp_path / folder).mkdir()
        authors(tmp_path / folder / name, [(3, 3, 3)] * 20 + [(0, 0, 0)] * 5)
    [found] = pair(read_folder(tmp_path / "a"), read_folder(tmp_path / "b"))
    assert found.model == "model"
    assert len(found.clips) == 20  # zeros stand for failures


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"average": 3}, "is no bridge"),
        ({"kind": "ugc-videocap bridge", "schema": 99}, "version"),
        ({"kind": "ugc-videocap bridge", "schema": 2, "line": {"n": []}}, "damaged"),
    ],
)
def test_what_is_no_bridge_is_refused(content: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bridge.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=said):
        read_bridge(path)


def test_a_folder_of_two_judges_is_refused(tmp_path: Path) -> None:
    old, new = folders(tmp_path, WITH_A_MAP["shifted"])
    ours(new / "other.json", np.full((20, 3), 3.0), "rubric/another/0123456789ab")
    with pytest.raises(DataError, match="one judge"):
        bridge(old, new)
    with pytest.raises(DataError, match="nothing to bridge"):
        bridge(old, old)
