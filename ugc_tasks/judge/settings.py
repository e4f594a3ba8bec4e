"""The judge's settings, read from the environment once and checked before anything is spent."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ugc_tasks.common.display import UserError
from ugc_tasks.judge.protocol.profiles import (
    PAID_PROFILES,
    QUESTIONS,
    Question,
    UnknownProfileError,
    check_profile_name,
)

DEFAULT_ENDPOINT = "api.openai.com/v1"
DEFAULT_BASE_URL = f"https://{DEFAULT_ENDPOINT}"
_STORE_NAME = "judgments.sqlite3"
_MAX_CONCURRENCY = 512
_MAX_ATTEMPTS = 100
_MAX_SECONDS = 86_400.0
_MAX_BUDGET = 1e6
_MAX_REPEATS = 64
_DEFAULT_INTERVAL = 0.5
_WIDEST_INTERVAL = 100.0
_SHORTEST_SECRET = 8
_ALONE = " \t\r\n\v\f\ufeff\u200b\u2060\xa0"  # around a value: of a file, or of copying
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ADDRESS = re.compile(r"[!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]+")

Command = Literal["lmms-eval", "score", "judge-check"]
"""What the judge is asked by: advice in messages is for that."""


class JudgeConfigError(UserError, ValueError):
    """A setting of the judge is unusable; the message names it and says what to do."""


@dataclass(frozen=True)
class JudgeSettings:
    """How to judge. Times are seconds; the key is never shown, logged or stored.

    Attributes:
        concurrency: the most requests at once.
        timeout: of one request.
        deadline: of one judgment, all tries together, waiting for a turn not counted.
        attempts: how often an unreadable reply is asked for, in total.
        budget: US dollars that this process may spend, None for no limit.
        prices: the user's price table, which goes before ours.
        batch: whether judgments are asked for in batches (OpenAI's Batch API).
        early: whether an answer may be judged before all answers are there.
        repeats: how many independent judgments of each answer are asked for.
        interval: points (0-100) up or down that the judge's noise may move a mean; how many repeats
            would do for it is told.
        command: what the judge is asked by.
    """

    store: Path
    profile: str = "paper"
    model: str | None = None
    concurrency: int = 64
    timeout: float = 60.0
    deadline: float = 600.0
    attempts: int = 3
    base_url: str = DEFAULT_BASE_URL
    api_key: str = field(default="", repr=False)
    budget: float | None = None
    prices: Path | None = None
    batch: bool = False
    early: bool = True
    repeats: int = 1
    interval: float = _DEFAULT_INTERVAL
    command: Command = "lmms-eval"

    @property
    def endpoint(self) -> str:
        """Host, port where one is given, and path of the endpoint: what tells one from another."""
        parts = urlsplit(self.base_url)
        return f"{parts.netloc.lower()}{parts.path.rstrip('/')}"

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str],
        *,
        cache: Path,
        question: Question = QUESTIONS["caption"],
        command: Command = "lmms-eval",
    ) -> JudgeSettings:
        """Read the settings from ``environ``; an empty variable counts as unset.

        White space and quotation marks around a value do not belong to it. Raises
        ``JudgeConfigError`` for a value that cannot be used and for a missing key where the profile
        needs one.
        """
        bare = {name: _bare(value) for name, value in environ.items()}
        given = {name: value for name, value in bare.items() if value}
        try:
            profile = check_profile_name(given.get("UGC_JUDGE_PROFILE", cls.profile))
        except UnknownProfileError as error:
            raise JudgeConfigError(f"UGC_JUDGE_PROFILE: {error}") from None
        store, prices = given.get("UGC_JUDGE_STORE"), given.get("UGC_JUDGE_PRICES")
        return cls(
            store=_path("UGC_JUDGE_STORE", store) if store else cache / _STORE_NAME,
            profile=profile,
            model=given.get("UGC_JUDGE_MODEL"),
            concurrency=_whole(given, "UGC_JUDGE_CONCURRENCY", cls.concurrency, _MAX_CONCURRENCY),
            timeout=_seconds(given, "UGC_JUDGE_TIMEOUT", cls.timeout),
            deadline=_seconds(given, "UGC_JUDGE_DEADLINE", cls.deadline),
            attempts=_whole(given, "UGC_JUDGE_ATTEMPTS", cls.attempts, _MAX_ATTEMPTS),
            base_url=_base_url(given),
            api_key=_api_key(given, profile, question, command),
            budget=_budget(given),
            prices=_path("UGC_JUDGE_PRICES", prices) if prices else None,
            batch=_batched(given),
            early=_switch(given, "UGC_JUDGE_EARLY", cls.early),
            repeats=_whole(given, "UGC_JUDGE_REPEATS", cls.repeats, _MAX_REPEATS),
            interval=interval_of(environ),
            command=command,
        )


def interval_of(environ: Mapping[str, str]) -> float:
    """Return ``UGC_JUDGE_INTERVAL``, points on 0-100; raises ``JudgeConfigError``."""
    text = environ.get("UGC_JUDGE_INTERVAL", "").strip() or str(_DEFAULT_INTERVAL)
    return _number("UGC_JUDGE_INTERVAL", text, "points", _WIDEST_INTERVAL)


def _whole(given: Mapping[str, str], name: str, default: int, largest: int) -> int:
    text = given.get(name, str(default))
    # isdecimal alone would let a number of any length reach int(), which refuses it less clearly.
    if len(text) > 6 or not text.isdecimal() or not 1 <= int(text) <= largest:
        raise JudgeConfigError(f"{name} must be a whole number from 1 to {largest}, not {text!r}")
    return int(text)


def _number(name: str, text: str, unit: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan  # which is in no range
    if not 0 < value <= most:
        raise JudgeConfigError(
            f"{name} must be a number of {unit} above 0 and up to {most:.0f}, not {text!r:.40}"
        )
    return value


def _seconds(given: Mapping[str, str], name: str, default: float) -> float:
    return _number(name, given.get(name, str(default)), "seconds", _MAX_SECONDS)


def _path(name: str, text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise JudgeConfigError(
            f"{name} is in the home of a user who is not known: {text!r:.200}"
        ) from None


def _budget(given: Mapping[str, str]) -> float | None:
    """Return the part of the budget that is this process's: ranks judge each their own clips."""
    text = given.get("UGC_JUDGE_BUDGET")
    if text is None:
        return None
    value = _number("UGC_JUDGE_BUDGET", text.removeprefix("$"), "US dollars", _MAX_BUDGET)
    ranks = given.get("WORLD_SIZE", "1")
    return value / max(1, int(ranks)) if ranks.isdecimal() and len(ranks) < 7 else value


def _switch(given: Mapping[str, str], name: str, default: bool) -> bool:
    text = given.get(name, "1" if default else "0").lower()
    if text not in {"0", "1", "true", "false", "yes", "no", "on", "off"}:
        raise JudgeConfigError(f"{name} must be 1 or 0, not {text!r:.40}")
    return text in {"1", "true", "yes", "on"}


def _batched(given: Mapping[str, str]) -> bool:
    mode = given.get("UGC_JUDGE_MODE", "request")
    if mode not in {"request", "batch"}:
        raise JudgeConfigError(f"UGC_JUDGE_MODE must be request or batch, not {mode!r:.40}")
    return mode == "batch"


def _bare(value: str) -> str:
    """Return a value without what stands around it by mistake."""
    while True:
        bare = value.strip(_ALONE)
        if len(bare) > 1 and _QUOTES.get(bare[0]) == bare[-1]:
            bare = bare[1:-1]
        if bare == value:
            return bare
        value = bare


def _base_url(given: Mapping[str, str]) -> str:
    # The value is not repeated: an address may have a password in it.
    url = given.get("OPENAI_BASE_URL", DEFAULT_BASE_URL)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not _ADDRESS.fullmatch(url):
        raise JudgeConfigError(
            f"OPENAI_BASE_URL must be an http or https address such as {DEFAULT_BASE_URL}"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise JudgeConfigError(
            "OPENAI_BASE_URL must be an address without user name, password, query or fragment; "
            "the key belongs in OPENAI_API_KEY"
        )
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise JudgeConfigError(
            "OPENAI_BASE_URL must be the address of the whole API, without /chat/completions"
        )
    return url


def _api_key(given: Mapping[str, str], profile: str, question: Question, command: Command) -> str:
    if profile not in PAID_PROFILES:
        return ""
    key = given.get("OPENAI_API_KEY", "")
    if not key:
        ways = ", or ".join(_without_a_key(question, command))
        raise JudgeConfigError(
            f"the judge profile {profile!r} needs OPENAI_API_KEY: set it (any text for a server "
            f"that asks for none){', or choose ' if ways else ''}{ways}"
        )
    if not _sendable(key):
        raise JudgeConfigError(
            "OPENAI_API_KEY has spaces, line breaks or non-ASCII characters in it; set it to the "
            "key alone"
        )
    _check_headers(given)
    # All others are shown and stored; a header of the user's own may well have it.
    own = {"OPENAI_API_KEY", "OPENAI_CUSTOM_HEADERS"}
    for name, value in given.items() if len(key) >= _SHORTEST_SECRET else ():
        if name.startswith(("UGC_", "OPENAI_")) and name not in own and key in value:
            raise JudgeConfigError(f"{name} has the key in it, which belongs in OPENAI_API_KEY")
    return key


def _without_a_key(question: Question, command: Command) -> list[str]:
    """Return what can be done without a key."""
    ways = []
    if command == "score" and question.has_estimate:
        ways.append("--profile offline for a free estimate")
    if command == "lmms-eval":
        if question.has_estimate:
            ways.append("UGC_JUDGE_PROFILE=offline for a free estimate")
        ways.append(f"UGC_JUDGE_PROFILE=none to write {question.subject}s only")
    return ways


def _check_headers(given: Mapping[str, str]) -> None:
    """Refuse what the client would send in headers of its own accord, and could not."""
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        if not _sendable(given.get(name, "")):
            raise JudgeConfigError(
                f"{name} has spaces, line breaks or non-ASCII characters in it; correct or unset it"
            )
    for line in given.get("OPENAI_CUSTOM_HEADERS", "").split("\n"):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if colon and not (_HEADER.fullmatch(name) and value.isascii() and value.isprintable()):
            raise JudgeConfigError(
                "OPENAI_CUSTOM_HEADERS has a header in it that cannot be sent; each of its lines "
                "is to be 'Name: value' in plain ASCII"
            )


def _sendable(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value
