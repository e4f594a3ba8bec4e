"""Judges of several minds for the loopback server: sane, generous, talkative, obedient."""

from __future__ import annotations

import re

from tests.support.judge_server import Act, Asked, scores, text

_ORDER = re.compile(r"'visual': 5|ignore all|award 5|maximum score", re.IGNORECASE)


def texts(asked: Asked) -> tuple[str, str]:
    """Return prediction and reference of a request of either profile."""
    user = asked.user
    if user.startswith("Sample ID"):
        whole = re.search(
            r"Predicted Description: (.*)\nGround Truth Description: (.*)\n\Z", user, re.DOTALL
        )
        assert whole is not None
        return whole[1], whole[2]
    parts = re.findall(r"\[(?:reference|candidate) \w+\]\n(.*?)\n\[end of", user, re.DOTALL)
    reference, prediction = parts
    return prediction, reference


def grade(prediction: str, reference: str) -> int:
    """Return 1-5 by how many of the reference's longer words the prediction has."""

    def words(content: str) -> set[str]:
        return {word[:5].lower() for word in re.findall(r"\w{4,}", content)}

    wanted = words(reference)
    share = len(wanted & words(prediction)) / max(1, len(wanted))
    return 1 + sum(share >= least for least in (0.04, 0.15, 0.35, 0.7))


def sane(asked: Asked) -> Act:
    """Grade by what prediction and reference share, and by nothing else."""
    mark = grade(*texts(asked))
    return scores(mark, mark, mark)


def generous(asked: Asked) -> Act:
    """Give five to all."""
    return scores(5, 5, 5)


def talkative(asked: Asked) -> Act:
    """Answer in prose."""
    return text("I would say that the caption is quite good, if a little short.")


def obedient(asked: Asked) -> Act:
    """Grade as a sane judge, unless the caption orders a grade."""
    prediction, reference = texts(asked)
    mark = 5 if _ORDER.search(prediction) else grade(prediction, reference)
    return scores(mark, mark, mark)


def moody(asked: Asked) -> Act:
    """Grade as a sane judge, and otherwise when asked the same again."""
    mark = grade(*texts(asked)) if asked.seen == 0 else 2
    return scores(mark, mark, mark)
