"""Whether a judge is fit for its work, found out before a long run.

A handful of bundled pairs (``check_pairs.json``) of known quality is sent to the judge as a run
would send them, some of them twice, into a store that is thrown away. Asked of it is that its
replies can be read; that captions come out in the order of their quality, with room between
perfect, partial and wrong; that one which says nothing gets next to nothing; that an order inside a
caption does not raise its score by more than a point; and that the same caption asked again is
within a point. That a good caption in another language scores much lower is a remark and no fault.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.judge.judge import Judge, open_judge
from ugc_tasks.judge.parsing import ResponseSchema
from ugc_tasks.judge.protocol.profiles import PAID_PROFILES, ChatProfile
from ugc_tasks.judge.settings import JudgeConfigError
from ugc_tasks.judge.types import JudgeItem, Judgment, Scores, Usage, total_usage

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


def check_judge(environ: Mapping[str, str], home: Home) -> dict[str, Any]:
    """Ask the judge that ``environ`` configures and return what came of it, plain JSON values.

    Returns:
        ``fit``; ``judge`` as results describe it; ``means`` (1-5) by kind of caption, null where no
        reply could be read; ``findings``; ``remarks``; ``asked``, the replies received;
        ``prompt_tokens``, ``completion_tokens`` (of them ``cached_tokens``, ``reasoning_tokens``),
        and ``usd``, null where no price is known.

    Raises:
        JudgeConfigError, DataError: the judge cannot be asked as configured.
        JudgeUnreachableError: it does not answer.
    """
    clips = json.loads(_PAIRS.read_text(encoding="utf-8"))["clips"]
    kinds = {
        JudgeItem(clip["id"], clip["answers"][kind], clip["reference"]): kind
        for kind in KINDS
        for clip in clips
    }
    again = [item for item, kind in kinds.items() if kind in TWICE]
    rounds: list[list[Judgment]] = []
    with ExitStack() as stack:  # a model on this machine is started once
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ugc-judge-check-"))
        for items in (list(kinds), again):
            # A new store: what is in one is not asked.
            store = Path(folder) / f"{len(rounds)}.sqlite3"
            judge = stack.enter_context(_opened(environ, home, store))
            rounds.append(_answered(judge, items))
            facts, schema = judge.describe(), judge.profile.question.schema
    scores, second = (
        {item: _grade(j.scores, schema) for item, j in zip(items, judged, strict=True) if j.scores}
        for items, judged in zip((kinds, again), rounds, strict=True)
    )
    means: dict[str, float | None] = dict.fromkeys(KINDS)
    for kind in means:
        of_kind = [score for item, score in scores.items() if kinds[item] == kind]
        means[kind] = fmean(of_kind) if of_kind else None
    apart = [abs(score - scores[item]) for item, score in second.items() if item in scores]
    replies = [*rounds[0], *rounds[1]]
    findings = _findings(means, apart, replies)
    return {
        "fit": all(finding["holds"] for finding in findings),
        "judge": facts,
        "means": means,
        "findings": findings,
        "remarks": _remarks(means, facts),
        "asked": len(replies),
        **asdict(total_usage(judgment.usage for judgment in replies) or Usage()),
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
    if not isinstance(judge.profile, ChatProfile):
        judge.close()
        raise JudgeConfigError(
            f"the judge profile {judge.profile.name!r} asks no judge: there is nothing to check; "
            f"choose {' or '.join(PAID_PROFILES)}"
        )
    return judge


def _answered(judge: Judge, items: Sequence[JudgeItem]) -> list[Judgment]:
    """Return the judgments of ``items``, the first asked alone: it tells a judge that is down."""
    judgments: list[Judgment] = []
    for part in (items[:1], items[1:]):
        judgments += judge.judge_many(part, progress=False)
        for judgment in judgments:
            if judgment.scores is None and judgment.reply is None:
                raise JudgeUnreachableError(f"the judge does not answer: {judgment.failure}")
    return judgments


def _grade(scores: Scores, schema: ResponseSchema) -> float:
    """Return the mean of a judgment's values, each as a grade from 1 to 5 whatever its scale."""
    kinds = schema.fields
    return fmean(
        1 + 4 * (value - kinds[name].lowest) / (kinds[name].highest - kinds[name].lowest)
        for name, value in scores.items()
    )


def _findings(
    means: Mapping[str, float | None], apart: Sequence[float], replies: Sequence[Judgment]
) -> list[dict[str, Any]]:
    """Return what is asked of a judge: the ``name``, whether it ``holds``, and what was ``said``.

    ``apart`` is how far two scores of the same captions are from each other.
    """

    def above(high: str, low: str) -> float:
        """Return by how much one kind's mean is above another's; NaN where one is not known."""
        first, other = means[high], means[low]
        return math.nan if first is None or other is None else first - other

    read = sum(judgment.scores is not None for judgment in replies)
    reasons = sorted({judgment.failure for judgment in replies if judgment.failure})
    why = f" ({'; '.join(reasons[:3])})" if reasons else ""
    faults = [
        f"{better} {_shown(means[better])}, {worse} {_shown(means[worse])}"
        for better, worse, least in _ORDER
        if not above(better, worse) >= least
    ]
    order = " > ".join(f"{kind} {_shown(means[kind])}" for kind in KINDS[:4])
    empty, injected, partial = (_shown(means[kind]) for kind in ("empty", "injected", "partial"))
    stable = f"{len(apart)} captions asked twice, at most {max(apart, default=0):.2f} apart"
    found = (
        (
            "parses",
            read >= _LEAST_PARSED * len(replies),
            f"{read} of {len(replies)} replies could be read{why}",
        ),
        ("ranks", not faults, f"not apart: {'; '.join(faults)}" if faults else order),
        (
            "gives nothing for nothing",
            means["empty"] is not None and means["empty"] <= _MOST_FOR_NOTHING,
            f"{empty}, at most {_MOST_FOR_NOTHING:g} is right",
        ),
        (
            "resists orders in captions",
            above("injected", "partial") <= _MOST_FOR_AN_ORDER,
            f"{injected} with an order, {partial} without",
        ),
        ("is stable", 0 <= max(apart, default=-1) <= _MOST_APART, stable),
    )
    return [{"name": name, "holds": holds, "said": said} for name, holds, said in found]


def _remarks(means: Mapping[str, float | None], judge: Mapping[str, Any]) -> list[str]:
    said = [
        f"{name} is not sent as the profile has it: {w}" for name, w in judge["not_sent"].items()
    ]
    if "temperature" not in judge["parameters"]:
        said.append("no temperature is sent: how far its replies differ is the model's own affair")
    here, abroad = means["perfect"], means["other_language"]
    if here is not None and abroad is not None and here - abroad >= _MUCH_FOR_LANGUAGE:
        said.append(
            f"a perfect caption in another language gets {abroad:.2f} instead of {here:.2f}: a "
            "model that does not answer in English is judged on that"
        )
    return said


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
