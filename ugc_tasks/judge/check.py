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
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.judge.judge import Judge, open_judge
from ugc_tasks.judge.protocol.profiles import PAID_PROFILES
from ugc_tasks.judge.settings import JudgeConfigError
from ugc_tasks.judge.types import JudgeItem, Judgment, Usage, total_usage

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


Finding = dict[str, Any]
"""What is asked of a judge: its ``name``, whether it ``holds``, and the figures (``said``)."""


def check_judge(environ: Mapping[str, str], home: Home) -> dict[str, Any]:
    """Ask the judge that ``environ`` configures and return what came of it, plain JSON values.

    Returns:
        ``fit``; ``judge`` as results describe it; ``means``, mean scores (1-5) by kind of caption
        (null where no reply could be read); ``findings``; ``remarks``, sentences; ``asked``, the
        replies received; ``prompt_tokens``, ``completion_tokens``, ``usd`` (null where no price is
        known).

    Raises:
        JudgeConfigError, DataError: the judge cannot be asked as configured.
        JudgeUnreachableError: it does not answer.
    """
    clips = json.loads(_PAIRS.read_text(encoding="utf-8"))["clips"]
    pairs = [(clip, kind) for kind in KINDS for clip in clips]
    first = [
        JudgeItem(clip["id"], clip["answers"][kind], clip["reference"]) for clip, kind in pairs
    ]
    again = [item for item, (_, kind) in zip(first, pairs, strict=True) if kind in TWICE]
    rounds: list[list[Judgment]] = []
    with tempfile.TemporaryDirectory(prefix="ugc-judge-check-") as folder:
        for items in (first, again):
            # A new store: what is in one is not asked.
            with _opened(environ, home, Path(folder) / f"{len(rounds)}.sqlite3") as judge:
                rounds.append(_answered(judge, items))
                facts = judge.describe()
    judged = dict(zip(first, rounds[0], strict=True))
    of_kind: dict[str, list[Judgment]] = {kind: [] for kind in KINDS}
    for judgment, (_, kind) in zip(rounds[0], pairs, strict=True):
        of_kind[kind].append(judgment)
    means = {kind: _mean(judgments) for kind, judgments in of_kind.items()}
    replies = [*rounds[0], *rounds[1]]
    findings = [
        _parses(replies),
        _ranks(means),
        _gives_little(means["empty"]),
        _resists(means["partial"], means["injected"]),
        _is_stable([(judged[item], other) for item, other in zip(again, rounds[1], strict=True)]),
    ]
    usage = total_usage(judgment.usage for judgment in replies) or Usage()
    return {
        "fit": all(finding["holds"] for finding in findings),
        "judge": facts,
        "means": means,
        "findings": findings,
        "remarks": _remarks(means),
        "asked": len(replies),
        **asdict(usage),
    }


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


def _finding(name: str, holds: bool, said: str) -> Finding:
    return {"name": name, "holds": holds, "said": said}


def _mean(judgments: Sequence[Judgment]) -> float | None:
    scored = [fmean(j.scores.values()) for j in judgments if j.scores is not None]
    return fmean(scored) if scored else None


def _parses(replies: Sequence[Judgment]) -> Finding:
    read = sum(judgment.scores is not None for judgment in replies)
    reasons = sorted({judgment.failure for judgment in replies if judgment.failure})
    said = f"{read} of {len(replies)} replies could be read"
    why = f" ({'; '.join(reasons[:3])})" if reasons else ""
    return _finding("parses", read >= _LEAST_PARSED * len(replies), said + why)


def _ranks(means: Mapping[str, float | None]) -> Finding:
    faults = []
    for better, worse, least in _ORDER:
        high, low = means[better], means[worse]
        if high is None or low is None or high - low < least:
            faults.append(f"{better} {_shown(high)}, {worse} {_shown(low)}")
    order = " > ".join(f"{kind} {_shown(means[kind])}" for kind in KINDS[:4])
    return _finding("ranks", not faults, "not apart: " + "; ".join(faults) if faults else order)


def _gives_little(empty: float | None) -> Finding:
    holds = empty is not None and empty <= _MOST_FOR_NOTHING
    said = f"{_shown(empty)}, at most {_MOST_FOR_NOTHING:g} is right"
    return _finding("gives nothing for nothing", holds, said)


def _resists(honest: float | None, injected: float | None) -> Finding:
    holds = False
    if honest is not None and injected is not None:
        holds = injected - honest <= _MOST_FOR_AN_ORDER
    said = f"{_shown(injected)} with an order, {_shown(honest)} without"
    return _finding("resists orders in captions", holds, said)


def _is_stable(pairs: Sequence[tuple[Judgment, Judgment]]) -> Finding:
    apart = [
        abs(fmean(one.scores.values()) - fmean(other.scores.values()))
        for one, other in pairs
        if one.scores is not None and other.scores is not None
    ]
    if not apart:
        return _finding("is stable", False, "no score to tell by")
    said = f"{len(apart)} captions asked twice, at most {max(apart):.2f} apart"
    return _finding("is stable", max(apart) <= _MOST_APART, said)


def _remarks(means: Mapping[str, float | None]) -> list[str]:
    here, abroad = means["perfect"], means["other_language"]
    if here is None or abroad is None or here - abroad < _MUCH_FOR_LANGUAGE:
        return []
    return [
        f"a perfect caption in another language gets {abroad:.2f} instead of {here:.2f}: a model "
        "that does not answer in English is judged on that"
    ]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
