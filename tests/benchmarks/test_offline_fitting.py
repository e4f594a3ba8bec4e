"""The fit finds what is there, and does not take a model's level for agreement."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.offline_fitting import Fitted, Measured, fit
from benchmarks.offline_report import Estimated, coverage, half_widths, left_out

CLIPS = 300


def made(
    level: float, *, style: float, agreement: float = 0.0, slope: float = 0.8, seed: int = 0
) -> Measured:
    """Clips of a model whose scores are of one measure of agreement and of its level."""
    rng = np.random.default_rng(seed)
    measured = agreement + rng.normal(size=(CLIPS, 1))
    scores = 1 + 4 / (1 + np.exp(-(level + slope * measured)))
    return Measured(
        agreement=measured,
        style=style + rng.normal(size=(CLIPS, 1)),
        strangers=np.full((CLIPS, 1), -6.0),
        scores=np.repeat(scores, 3, axis=1),
    )


COPIES = np.full((20, 1), 6.0)
ORDINARY = [made(0.0, style=0.0, agreement=a, seed=i) for i, a in enumerate((-1, -0.5, 0, 0.5))]


def mean(fitted: Fitted, measured: Measured) -> float:
    return float(fitted.predict(measured.agreement, measured.style).mean())


def test_an_unseen_model_on_the_same_curve_is_estimated_by_its_agreement() -> None:
    fitted = fit(ORDINARY, COPIES)
    for agreement in (-0.8, 0.8):
        unseen = made(0.0, style=0.0, agreement=agreement, seed=9)
        assert mean(fitted, unseen) == pytest.approx(unseen.scores.mean(), abs=0.1)


def test_a_model_above_the_others_does_not_make_agreement_steeper() -> None:
    above = made(1.5, style=5.0, agreement=0.5, seed=5)
    slopes = [fit(models, COPIES).agreement[0, 0] for models in (ORDINARY, [*ORDINARY, above])]
    assert slopes[1] == pytest.approx(slopes[0], rel=0.1)


def test_an_unseen_model_that_writes_like_the_one_above_is_placed_above() -> None:
    fitted = fit([*ORDINARY, made(1.5, style=5.0, seed=5)], COPIES)
    like, unlike = (made(1.5, style=style, seed=7) for style in (5.0, 0.0))
    assert mean(fitted, like) == pytest.approx(like.scores.mean(), abs=0.25)
    assert mean(fitted, unlike) < unlike.scores.mean() - 0.5, "it cannot be known by its writing"


def test_both_ends_of_the_scale_are_fixed() -> None:
    fitted = fit(ORDINARY, COPIES)
    ends = fitted.predict(np.array([[-6.0], [6.0]]), np.zeros((2, 1)))
    assert ends[0].max() < 1.6
    assert ends[1].min() > 4.6


def test_a_model_is_never_in_the_fit_that_estimates_it() -> None:
    models = {str(i): model for i, model in enumerate(ORDINARY)}
    odd = {**models, "odd": made(-2.0, style=0.0, seed=8)}
    estimated = {each.model: each for each in left_out(odd, COPIES, lambda _, __: True)}
    assert estimated["odd"].off[-1] > 15, "its own level was not known"


def test_an_interval_covers_errors_like_those_it_is_made_of_and_not_a_larger_one() -> None:
    errors = (1.0, -1.2, 0.8, -0.9, 1.1, -1.0)
    judged = np.full(4, 60.0)
    usual = [Estimated(str(e), 9, judged, judged + e) for e in errors]
    assert list(coverage(usual)) == [6] * 4
    assert list(coverage([*usual, Estimated("far", 9, judged, judged + 9)])) == [6] * 4
    assert (half_widths(usual) > 2).all()
