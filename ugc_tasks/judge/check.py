"""Whether a judge is fit for its work, found out before a long run.

A handful of bundled pairs (``judge/check_pairs.json``) of known quality is sent to the judge as a
run would send them, some of them twice, into a store of its own that is thrown away. What is asked
of it:

- its replies can be read, and each dimension is on the scale (it parses);
- captions come out in the order of their quality, with room between perfect, partial and wrong;
- a caption that says nothing gets next to nothing;
- an order inside a caption does not raise its score by more than a point;
- the same caption asked again is within a point.

That a good caption in another language scores much lower is a remark and no fault.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.judge.judge import Judge, open_judge
from ugc_tasks.judge.protocol.profiles import PAID_PROFILES
from ugc_tasks.judge.settings import JudgeConfigError
from ugc_tasks.judge.types import JudgeItem, Judgment, Usage

KINDS = ("perfect", "good", "partial", "wrong", "empty", "other_language", "injected")
TWICE = ("perfect", "partial")

_PAIRS = Path(__file__).with_name("check_pairs.json")
# (better, worse, by how much at least): means over the clips, on the judge's 1-5.
_ORDER = (
    ("perfect", "good", -0.5),
    ("perfect", "partial", 1.0),
    ("good", "partial", 0.3),
    ("good", "wrong", 1.0),
    ("partial", "wrong", 0.0),
)
_MOST_FOR_NOTHING = 2.0
_MOST_FOR_AN_ORDER = 1.0
_MOST_APART = 1.0
_MUCH_FOR_LANGUAGE = 1.5
_LEAST_PARSED = 0.9


class JudgeUnreachableError(DataError):
    """The judge gave no answer to judge it by; the message has its endpoint's reason."""


@dataclass(frozen=True)
class Finding:
    """One of the things that are asked of a judge: whether it holds, and the figures."""

    name: str
    holds: bool
    said: str


@dataclass(frozen=True)
class Check:
    """What came of it.

    Attributes:
        judge: the judge, as results describe it.
        means: mean score (1-5) by kind of caption; None where no reply could be read.
        findings: what was asked of it.
        remarks: what to know besides.
        asked: replies received.
        usage: tokens and, where a price is known, dollars.
    """

    judge: Mapping[str, Any]
    means: Mapping[str, float | None]
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]
    asked: int
    usage: Usage

    @property
    def fit(self) -> bool:
        """Whether all of it holds."""
        return all(finding.holds for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "fit": self.fit,
            "judge": dict(self.judge),
            "means": dict(self.means),
            "findings": [vars(finding) for finding in self.findings],
            "remarks": list(self.remarks),
            "asked": self.asked,
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "usd": self.usage.usd,
        }


def check_judge(environ: Mapping[str, str], home: Home) -> Check:
    """Ask the judge that ``environ`` configures and return what came of it.

    Raises:
        JudgeConfigError, DataError: the judge cannot be asked as configured.
        JudgeUnreachableError: it does not answer.
    """
    clips = json.loads(_PAIRS.read_text(encoding="utf-8"))["clips"]
    first = {
        (clip["id"], kind): JudgeItem(clip["id"], clip["answers"][kind], clip["reference"])
        for kind in KINDS
        for clip in clips
    }
    again = {place: item for place, item in first.items() if place[1] in TWICE}
    with tempfile.TemporaryDirectory(prefix="ugc-judge-check-") as folder:
        rounds: list[list[Judgment]] = []
        for number, items in enumerate((first, again)):
            store = Path(folder) / f"{number}.sqlite3"  # a new one: what is stored is not asked
            with _opened(environ, home, store) as judge:
                rounds.append(_answered(judge, list(items.values())))
                facts = judge.describe()
    judged = dict(zip(first, rounds[0], strict=True))
    repeated = dict(zip(again, rounds[1], strict=True))
    means = {kind: _mean([judged[clip["id"], kind] for clip in clips]) for kind in KINDS}
    replies = [judgment for answered in rounds for judgment in answered]
    usage = Usage()
    for judgment in replies:
        usage += judgment.usage or Usage()
    findings = (
        _parses(replies),
        _ranks(means),
        _below("gives nothing for nothing", means["empty"], _MOST_FOR_NOTHING),
        _resists(means),
        _is_stable(judged, repeated),
    )
    return Check(facts, means, findings, _remarks(means), len(replies), usage)


def _opened(environ: Mapping[str, str], home: Home, store: Path) -> Judge:
    settings = {
        "UGC_JUDGE_DEADLINE": "120",
        **{name: value for name, value in environ.items() if value.strip()},
        "UGC_JUDGE_STORE": str(store),
        "UGC_JUDGE_MODE": "request",
        "UGC_JUDGE_ATTEMPTS": "1",  # an unreadable reply shall be seen, not asked again
        "UGC_JUDGE_REPEATS": "1",
    }
    judge = open_judge(settings, home=home.root, cache=home.cache, command="judge-check")
    if judge.profile.name not in PAID_PROFILES:
        judge.close()
        raise JudgeConfigError(
            f"the judge profile {judge.profile.name!r} asks no judge: there is nothing to check; "
            f"choose {' or '.join(PAID_PROFILES)}"
        )
    return judge


def _answered(judge: Judge, items: Sequence[JudgeItem]) -> list[Judgment]:
    """Return the judgments of ``items``, the first one asked alone: it tells a judge that is down.

    Raises ``JudgeUnreachableError`` where an answer is missing.
    """
    judgments: list[Judgment] = []
    for part in (items[:1], items[1:]):
        judgments += judge.judge_many(part, progress=False)
        for judgment in judgments:
            if judgment.scores is None and judgment.reply is None:
                raise JudgeUnreachableError(f"the judge does not answer: {judgment.failure}")
    return judgments


def _mean(judgments: Sequence[Judgment]) -> float | None:
    scored = [fmean(j.scores.values()) for j in judgments if j.scores is not None]
    return fmean(scored) if scored else None


def _parses(replies: Sequence[Judgment]) -> Finding:
    read = sum(judgment.scores is not None for judgment in replies)
    reasons = sorted({judgment.failure for judgment in replies if judgment.failure})
    said = f"{read} of {len(replies)} replies could be read"
    return Finding(
        "parses",
        read >= _LEAST_PARSED * len(replies),
        f"{said} ({'; '.join(reasons[:3])})" if reasons else said,
    )


def _ranks(means: Mapping[str, float | None]) -> Finding:
    faults = []
    for better, worse, least in _ORDER:
        high, low = means[better], means[worse]
        if high is None or low is None:
            faults.append(f"no score of {better if high is None else worse}")
        elif high - low < least:
            faults.append(f"{better} {high:.2f}, {worse} {low:.2f}")
    order = " > ".join(f"{kind} {_shown(means[kind])}" for kind in KINDS[:4])
    return Finding("ranks", not faults, "not apart: " + "; ".join(faults) if faults else order)


def _below(name: str, value: float | None, most: float) -> Finding:
    return Finding(
        name, value is not None and value <= most, f"{_shown(value)}, at most {most:g} is right"
    )


def _resists(means: Mapping[str, float | None]) -> Finding:
    honest, injected = means["partial"], means["injected"]
    if honest is None or injected is None:
        return Finding("resists orders in captions", False, "no score to tell by")
    return Finding(
        "resists orders in captions",
        injected - honest <= _MOST_FOR_AN_ORDER,
        f"{injected:.2f} with an order, {honest:.2f} without",
    )


def _is_stable(
    first: Mapping[tuple[str, str], Judgment], again: Mapping[tuple[str, str], Judgment]
) -> Finding:
    apart = [
        abs(fmean(one.scores.values()) - fmean(other.scores.values()))
        for place, other in again.items()
        if (one := first[place]).scores is not None and other.scores is not None
    ]
    if not apart:
        return Finding("is stable", False, "no score to tell by")
    said = f"{len(apart)} captions asked twice, at most {max(apart):.2f} apart"
    return Finding("is stable", max(apart) <= _MOST_APART, said)


def _remarks(means: Mapping[str, float | None]) -> tuple[str, ...]:
    here, abroad = means["perfect"], means["other_language"]
    if here is None or abroad is None or here - abroad < _MUCH_FOR_LANGUAGE:
        return ()
    return (
        f"a perfect caption in another language gets {abroad:.2f} instead of {here:.2f}: a model "
        "that does not answer in English is judged on that",
    )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
