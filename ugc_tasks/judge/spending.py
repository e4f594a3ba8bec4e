"""What judging cost, as it stands in rows and results.

A row has one entry, a text: ``new 700 18 0.00193`` or ``stored 700 18 0.00193``: whether it was
paid for in this run, tokens in, tokens out, US dollars (``?`` where they are not known). A clip
that was judged several times has one for each, with ``; `` between them. Nothing was paid where it
is empty.
"""

from __future__ import annotations

from collections.abc import Sequence

from ugc_tasks.judge.judgment import Judgment
from ugc_tasks.judge.usage import Usage

_UNKNOWN = "?"
_NEXT = "; "


def entry(judgment: Judgment) -> str:
    """Return the entry of a clip's row."""
    if judgment.repeats:
        return _NEXT.join(filter(None, map(entry, judgment.repeats)))
    usage = judgment.usage
    if usage is None:
        return ""
    when = "stored" if judgment.stored else "new"
    usd = _UNKNOWN if usage.usd is None else repr(usage.usd)
    return f"{when} {usage.prompt_tokens} {usage.completion_tokens} {usd}"


def total(items: Sequence[str]) -> str:
    """Return the sum of all entries, this run's apart from what was on disk; an aggregation."""
    return f"{_sum(items, 'new')} in this run, {_sum(items, 'stored')} in earlier ones"


def _sum(items: Sequence[str], when: str) -> str:
    each = (part for item in items for part in item.split(_NEXT))
    entries = [part.split()[1:] for part in each if part.startswith(f"{when} ")]
    usage, unknown = Usage(), 0
    for prompt, completion, usd in entries:
        known = None if usd == _UNKNOWN else float(usd)
        unknown += known is None
        usage += Usage(int(prompt), int(completion), known)
    if unknown == len(entries) and entries:
        money = "an unknown sum"
    else:
        money = f"${usage.usd or 0:.4f}" + (f" and {unknown} of unknown cost" if unknown else "")
    tokens = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens"
    return f"{money} for {len(entries)} judgments ({tokens})"
