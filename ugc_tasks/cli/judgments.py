"""Take judgments from one machine to another, and put two people's together.

`export` writes every reply of the store (UGC_JUDGE_STORE) as a line of JSON, with the digest of
what was asked; the same store gives the same bytes. `import` checks the digest of each line and
adds what is not here. Where this machine has another reply to the same request, that one stays.
What was imported is not asked again: endpoint, model and profile must be as they were.

examples:
  ugc-videocap judgments export judgments.jsonl
  ugc-videocap judgments import judgments.jsonl
  ugc-videocap judgments import theirs.jsonl --json
  ugc-videocap judgments export - | ssh other ugc-videocap judgments import -

exit status: 0 every reply was written or is here now (as another reply to the same request, too),
3 some rows or lines were left out, 2 nothing could be read or written
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ugc_tasks.cli import COMPLETE, PARTIAL, add_command
from ugc_tasks.common.display import complain, listed, say, say_json
from ugc_tasks.common.files import DataError, open_file, parse_json
from ugc_tasks.data.home import Home
from ugc_tasks.judge.cache import (
    COLUMNS,
    MOST_ATTEMPTS,
    MOST_TOKENS,
    MOST_USD,
    JudgmentCache,
    Merged,
    scores_in,
)
from ugc_tasks.judge.protocol.profiles import judgment_key
from ugc_tasks.judge.settings import store_of

SCHEMA = 1
_LONGEST = 8 << 20  # bytes of a line: a reply's text is at most 1 MB, and six times that in ASCII
_CHUNK, _CHUNK_BYTES = 500, 8 << 20  # lines, and bytes, that are committed together
_LATEST = 1e11  # seconds since 1970
_MOST_NAMED = 5
_KEY = re.compile(r"[0-9a-f]{64}")
_STDIO = "-"
_LEFT_OUT = {
    "cut_off": "cut off at the end of the file: the copy is not whole, make it again",
    "foreign": "no judgment",
    "schema": f"of another schema (known is {SCHEMA}): upgrade here, and import again",
    "digest": "not what the digest says: changed since it was written",
    "values": "with a value that no judgment has",
}
"""Why a line is left out -> what is said of such lines."""


def add_parsers(subparsers: Any) -> None:
    parser = add_command(subparsers, "judgments", run, __doc__)
    file = "JSONL; - for stdin or stdout"
    parser.add_argument("action", choices=("export", "import"), help="write them, or read them")
    parser.add_argument("file", metavar="FILE", help=file)


def run(arguments: argparse.Namespace) -> int:
    store = store_of(os.environ, Home.from_env(os.environ).cache)
    work = export_to if arguments.action == "export" else import_from
    return work(arguments.file, store, as_json=arguments.json)


# ---- export ----


def export_to(file: str, store: Path, *, as_json: bool) -> int:
    """Write all replies in ``store``; return an exit status."""
    if as_json and file == _STDIO:
        raise DataError("--json: the judgments themselves go to stdout; name a file for them")
    if not store.is_file():
        raise DataError(
            f"{store}: there is no store of judgments; set UGC_JUDGE_STORE or UGC_VIDEOCAP_CACHE"
        )
    written = left_out = 0
    with _output(file, store) as out:
        cache = JudgmentCache(store)
        try:
            for row in cache.replies():
                line = line_of({**row, "scores": scores_in(row["scores"])})
                written, left_out = written + bool(line), left_out + (not line)
                out.write(line)
        finally:
            cache.close()
    if left_out:
        complain(f"{left_out} rows that are not as this program writes them were left out")
    if as_json:
        say_json({"file": file, "store": str(store), "written": written, "left_out": left_out})
    else:
        say(f"{written} replies were written", file=sys.stderr if file == _STDIO else None)
    return PARTIAL if left_out else COMPLETE


def line_of(reply: Mapping[str, Any]) -> bytes:
    """Return a reply as a line, the same bytes each time; nothing where it is no sound one."""
    if not is_sound(reply):
        return b""
    content = {"schema": SCHEMA, **reply}
    line = json.dumps({**content, "sha256": _digest(content)}, separators=(",", ":"))
    return line.encode() + b"\n"


@contextmanager
def _output(file: str, store: Path) -> Iterator[BinaryIO]:
    """Give what to write to; a file appears when it is whole."""
    path = Path(file)
    if file == _STDIO:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif path.exists() and not path.is_file():  # a device or a pipe; of a folder the system tells
        with path.open("wb") as out:
            yield out
    elif path.exists() and path.samefile(store):
        raise DataError(f"{path}: is the store itself: give another file")
    elif not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}: make it, or give another file")
    else:
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with part.open("xb") as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


# ---- import ----


@dataclass
class Lines:
    """The lines of a file: ``number`` read so far, and those left out by why, with their number."""

    number: int = 0
    left_out: dict[str, list[str]] = field(default_factory=lambda: {why: [] for why in _LEFT_OUT})

    def replies(self, stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the replies as rows of a store, each with the bytes of its line."""
        while line := stream.readline(_LONGEST + 1):
            whole = line.endswith(b"\n")
            too_long = len(line) > _LONGEST and not whole
            while too_long and (rest := stream.readline(_LONGEST)):
                whole = rest.endswith(b"\n")
                if whole:
                    break
            self.number += 1
            if not line.strip():
                continue
            reply, why = (None, "cut_off") if too_long else read_line(line)
            if reply is not None:
                yield len(line), reply
            else:
                why = "foreign" if why == "cut_off" and whole else why
                self.left_out[why].append(f"line {self.number}")


def read_line(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """Return the reply in a line, or None and why there is none (of ``_LEFT_OUT``)."""
    try:
        content = parse_json(line.decode("utf-8-sig"), "")
    except ValueError:
        return None, "cut_off"
    if not (isinstance(content, dict) and type(content.get("schema")) is int and "key" in content):
        return None, "foreign"
    if content["schema"] != SCHEMA:
        return None, "schema"
    stated, asked = content.pop("sha256", None), content.get("asked")
    # Where it has what its key is the digest of, that counts.
    whole = stated == _digest(content) if asked is None else content["key"] == _key_of(asked)
    reply = {name: content.get(name) for name in COLUMNS}
    if whole and is_sound(reply):
        return {**reply, "scores": reply["scores"] and json.dumps(reply["scores"])}, ""
    return None, "values" if whole else "digest"


def import_from(file: str, store: Path, *, as_json: bool) -> int:
    """Add to ``store`` what a file has; return an exit status."""
    lines, merged = Lines(), Merged()
    with nullcontext(sys.stdin.buffer) if file == _STDIO else open_file(Path(file)) as stream:
        replies = lines.replies(stream)
        first = next(replies, None)
        if first is None:
            raise DataError(
                f"{file}: none of its {lines.number} lines is a judgment that `ugc-videocap "
                f"judgments export` has written; {'; '.join(_said(lines)) or 'it is empty'}"
            )
        cache = JudgmentCache(store)
        try:
            chunk, size = [first[1]], first[0]
            for length, reply in replies:
                chunk.append(reply)
                size += length
                # Read first, then written: whoever writes the stream may be slow.
                if len(chunk) == _CHUNK or size > _CHUNK_BYTES:
                    cache.merge(chunk, merged)
                    chunk, size = [], 0
            cache.merge(chunk, merged)
        finally:
            cache.close()
    others = f"{merged.others} not added: this machine has another reply to the same, which stays"
    complain(*_said(lines), *([others] if merged.others else []))
    counts = {"added": merged.added, "here": merged.here, "others": merged.others}
    left_out = {why: len(numbers) for why, numbers in lines.left_out.items()}
    if as_json:
        say_json({"file": file, "store": str(store), **counts, "left_out": left_out})
    else:
        say(f"{merged.added} replies were added, {merged.here} were here already")
    return PARTIAL if any(left_out.values()) else COMPLETE


def _said(lines: Lines) -> list[str]:
    return [
        f"left out, {_LEFT_OUT[why]}: {listed(numbers, _MOST_NAMED)}"
        for why, numbers in lines.left_out.items()
        if numbers
    ]


# ---- one reply ----


def is_sound(reply: Mapping[str, Any]) -> bool:
    """Tell whether these are values such as a judge's reply has; ``scores`` is a dictionary."""

    def text(name: str, *, needed: bool = False) -> bool:
        return isinstance(reply[name], str) or (reply[name] is None and not needed)

    def count(name: str) -> bool:
        return reply[name] is None or (type(reply[name]) is int and 0 <= reply[name] < MOST_TOKENS)

    def amount(name: str, most: float) -> bool:
        return type(reply[name]) in {int, float} and 0 <= reply[name] <= most

    scores = reply["scores"]
    return (
        text("key", needed=True)
        and bool(_KEY.fullmatch(reply["key"]))
        and type(reply["attempt"]) is int
        and 0 < reply["attempt"] < MOST_ATTEMPTS
        and all(text(name, needed=True) for name in ("video_id", "judge", "text"))
        and all(text(name) for name in ("finish_reason", "model", "fingerprint", "failure"))
        and count("prompt_tokens")
        and count("completion_tokens")
        and (scores is None) == (reply["failure"] is not None)
        and (scores is None or scores_in(json.dumps(scores)) is not None)
        and amount("created_at", _LATEST)
        and (reply["usd"] is None or amount("usd", MOST_USD))
    )


def _digest(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _key_of(asked: Any) -> str | None:
    """Return the key of what a line says was asked; None where that is no request."""
    try:
        where, body = asked["endpoint"], asked["request"]
        question, repeat = asked.get("question", "caption"), asked.get("repeat", 0)
        return judgment_key(str(where), dict(body), str(question), int(repeat))
    except (LookupError, ValueError, TypeError, AttributeError):
        return None
