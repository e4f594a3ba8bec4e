"""The offline estimate: free, deterministic, always within the scale, roughly in order."""

from __future__ import annotations

import json
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.reference import reference_dir
from ugc_tasks.judge.forms import DIMENSIONS
from ugc_tasks.judge.offline import estimate, features, load_weights
from ugc_tasks.judge.scores import Scores

REFERENCE = (
    "A man in a red apron stirs soup in a small kitchen while soft piano music plays. He says "
    'that it needs salt, and the words "GRANDMA\'S SOUP" appear at the top of the screen.'
)
VAGUE = "The video shows a person. The video shows a person. The video shows a person."


def mean(scores: Scores) -> float:
    return (scores.visual + scores.audio + scores.details) / 3


def test_the_same_texts_give_the_same_estimate_without_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(socket, "socket")
    assert estimate(VAGUE, REFERENCE) == estimate(VAGUE, REFERENCE)


def test_a_caption_that_says_more_of_the_reference_is_estimated_higher() -> None:
    half = REFERENCE[: len(REFERENCE) // 2]
    assert mean(estimate(VAGUE, REFERENCE)) < mean(estimate(half, REFERENCE))
    assert mean(estimate(half, REFERENCE)) < mean(estimate(REFERENCE, REFERENCE))


def test_what_is_heard_counts_most_for_audio() -> None:
    silent = "A man in a red apron stirs soup in a small kitchen."
    heard = silent + " Soft piano music plays while he speaks in a calm voice."
    gained = [
        getattr(estimate(heard, REFERENCE), name) - getattr(estimate(silent, REFERENCE), name)
        for name in DIMENSIONS
    ]
    assert gained[1] == max(gained) > 0


@given(st.text(max_size=300), st.text(max_size=300))
@settings(max_examples=60)
def test_every_pair_of_texts_is_estimated_within_the_scale(first: str, second: str) -> None:
    scores = estimate(first, second)
    assert all(1 <= getattr(scores, name) <= 5 for name in DIMENSIONS)


def test_the_weights_are_for_the_measures_there_are() -> None:
    weights = load_weights()
    for name in DIMENSIONS:
        assert list(weights.coefficients[name]) == list(features(VAGUE, REFERENCE))


def test_endless_text_is_estimated_in_bounded_time() -> None:
    started = time.perf_counter()
    estimate("\"' A" * 1_000_000, "'\"" * 1_000_000)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("captions", "judged"),
    [
        ("omni_baseline.jsonl", 52.18),
        ("UGC_VideoCaptioner_inference.jsonl", 60.01),
        ("gemini_2.5_flash.jsonl", 76.73),
        ("minicpm_captions.jsonl", 59.6),
    ],
)
def test_a_published_models_average_is_met_within_twelve_points(
    captions: str, judged: float
) -> None:
    """These models are what the weights were fitted to: a guard against a broken fit, no more."""
    folder = reference_dir()
    questions = json.loads((folder / "questions" / "final_caption_qa.json").read_text())
    references = {sample["video_id"]: sample["answer"] for sample in questions["samples"]}
    rows = map(json.loads, (folder / "captions" / captions).read_text().splitlines())
    means = [
        mean(estimate(row["caption"], references[row["video_id"]]))
        for row in rows
        if row["caption"] and row["video_id"] in references
    ]
    assert 20 * sum(means) / len(means) == pytest.approx(judged, abs=12)
