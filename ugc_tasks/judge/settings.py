"""The judge's settings, read from the environment once and checked before anything is spent."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ugc_tasks.common.display import UserError
from ugc_tasks.common.local_model import KEY, PREFIX, LocalModel, LocalModelError
from ugc_tasks.judge.protocol.profiles import QUESTIONS, Question, is_paid

DEFAULT_ENDPOINT = "api.openai.com/v1"
DEFAULT_BASE_URL = f"https://{DEFAULT_ENDPOINT}"
AZURE_ADDRESS = "AZURE_OPENAI_ENDPOINT"
_STORE_NAME = "judgments.sqlite3"
_DEFAULT_INTERVAL = 0.5
_SHORTEST_SECRET = 8
_NO_KEY = "dry-run"  # the client wants one, and sends nothing
_ALONE = " \t\r\n\v\f\ufeff\u200b\u2060\xa0"  # around a value: of a file, or of copying
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DEPLOYMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LOCAL_TIMEOUT_S, _LOCAL_DEADLINE_S = 600.0, 7200.0  # its queue is here, and nobody's fault
_NOWHERE = "http://127.0.0.1:1/v1"  # until its server is started, on a free port
_ADDRESS = re.compile(r"[!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]+")

Command = Literal["lmms-eval", "score", "judge-check", "dry-run"]
"""What the judge is asked by: advice in messages is for that. A dry run asks nothing."""


class JudgeConfigError(UserError, ValueError):
    """A setting of the judge is unusable; the message names it and says what to do."""


# ---- one value ----


def _whole(name: str, text: str, *, most: int) -> int:
    # isdecimal alone would let a number of any length reach int(), which refuses it less clearly.
    if len(text) > 6 or not text.isdecimal() or not 1 <= int(text) <= most:
        raise JudgeConfigError(f"{name} must be a whole number from 1 to {most}, not {text!r:.40}")
    return int(text)


def _number(name: str, text: str, *, unit: str, most: float) -> float:
    try:
        value = float(text.removeprefix("$"))
    except ValueError:
        value = math.nan  # which is in no range
    if not 0 < value <= most:
        raise JudgeConfigError(
            f"{name} must be a number of {unit} above 0 and up to {most:.0f}, not {text!r:.40}"
        )
    return value


def _path(name: str, text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise JudgeConfigError(f"{name} is no path ({error}): {text!r:.200}") from None


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise JudgeConfigError(f"{name} must be a day like 2027-01-14, not {text!r:.40}") from None


def _one_of(name: str, text: str, *, words: Mapping[str, bool]) -> bool:
    if text.lower() not in words:
        listed = " or ".join(list(words)[:2])
        raise JudgeConfigError(f"{name} must be {listed}, not {text!r:.40}")
    return words[text.lower()]


def _words(name: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise JudgeConfigError(f"{name} is not as a shell wants it ({error})") from None


def _base_url(name: str, url: str) -> str:
    # The value is not repeated: an address may have a password in it.
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    more = usable and any((parts.username, parts.password, parts.query, parts.fragment))
    if not usable or more or not _ADDRESS.fullmatch(url) or "/chat/completions" in parts.path:
        raise JudgeConfigError(
            f"{name} must be the http or https address of the whole API, such as "
            f"{DEFAULT_BASE_URL}, without user name, password, query, fragment and "
            "/chat/completions; the key belongs in OPENAI_API_KEY"
        )
    return url


_seconds = partial(_number, unit="seconds", most=86_400.0)
_dollars = partial(_number, unit="US dollars", most=1e6)
_points = partial(_number, unit="points", most=100.0)
_MODES = {"request": False, "batch": True}
_SWITCH = {"1": True, "0": False, "true": True, "false": False}
_SWITCH |= {"yes": True, "no": False, "on": True, "off": False}


def _setting(variable: str, read: Callable[[str, str], Any], default: Any = MISSING) -> Any:
    return field(default=default, metadata={"variable": variable, "read": read})


@dataclass(frozen=True)
class Azure:
    """Azure OpenAI, by the variables of the ``openai`` library; the key may be a ``token``."""

    address: str
    version: str
    deployment: str
    token: bool = False

    @property
    def variable(self) -> str:
        """Name of the variable with the key."""
        return "AZURE_OPENAI_AD_TOKEN" if self.token else "AZURE_OPENAI_API_KEY"


# ---- all of them ----


@dataclass(frozen=True)
class JudgeSettings:
    """How to judge, as docs/options.md has it. Times are seconds.

    The key is never shown, logged or stored. ``timeout`` is that of one request, ``deadline`` that
    of all tries for a judgment. ``budget`` is in US dollars, for this process, and None for no
    limit. ``today`` is what the last days of judges are compared with, None for the day that it is.
    ``command`` is what the judge is asked by.
    """

    store: Path = _setting("UGC_JUDGE_STORE", _path)  # noqa: RUF009
    profile: str = _setting("UGC_JUDGE_PROFILE", lambda _, text: text, "paper")
    model: str | None = _setting("UGC_JUDGE_MODEL", lambda _, text: text, None)
    concurrency: int = _setting("UGC_JUDGE_CONCURRENCY", partial(_whole, most=512), 64)
    timeout: float = _setting("UGC_JUDGE_TIMEOUT", _seconds, 60.0)
    deadline: float = _setting("UGC_JUDGE_DEADLINE", _seconds, 600.0)
    attempts: int = _setting("UGC_JUDGE_ATTEMPTS", partial(_whole, most=100), 3)
    base_url: str = _setting("OPENAI_BASE_URL", _base_url, DEFAULT_BASE_URL)
    api_key: str = field(default="", repr=False)
    budget: float | None = _setting("UGC_JUDGE_BUDGET", _dollars, None)
    prices: Path | None = _setting("UGC_JUDGE_PRICES", _path, None)  # noqa: RUF009
    batch: bool = _setting("UGC_JUDGE_MODE", partial(_one_of, words=_MODES), False)
    early: bool = _setting("UGC_JUDGE_EARLY", partial(_one_of, words=_SWITCH), True)
    repeats: int = _setting("UGC_JUDGE_REPEATS", partial(_whole, most=64), 1)
    interval: float = _setting("UGC_JUDGE_INTERVAL", _points, _DEFAULT_INTERVAL)
    today: date | None = _setting("UGC_JUDGE_TODAY", _day, None)  # noqa: RUF009
    command: Command = "lmms-eval"
    azure: Azure | None = None
    local: LocalModel | None = None
    local_arguments: tuple[str, ...] = _setting("UGC_JUDGE_LOCAL_ARGS", _words, ())

    @property
    def names(self) -> dict[str, str]:
        """What sets this endpoint, by the variable that sets OpenAI's, as messages have it."""
        if self.local is not None:
            arguments = "UGC_JUDGE_LOCAL_ARGS"
            return {"OPENAI_API_KEY and OPENAI_BASE_URL": arguments, "OPENAI_BASE_URL": arguments}
        if self.azure is not None:
            return {"OPENAI_BASE_URL": AZURE_ADDRESS, "OPENAI_API_KEY": self.azure.variable}
        return {}

    @property
    def endpoint(self) -> str:
        """Host, port where one is given, and path of the endpoint: what tells one from another.

        A model on this machine is told by what vLLM is told beside its name.
        """
        if self.local is not None:
            return shlex.join(("local", *self.local_arguments))
        parts = urlsplit(self.base_url)
        if self.azure is not None:
            path = f"{parts.path.rstrip('/')}/openai/deployments/{self.azure.deployment}"
            return f"{parts.netloc.lower()}{path}"
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
        ``JudgeConfigError`` for a value that cannot be used and for a missing key.
        """
        bare = {name: _bare(value) for name, value in environ.items()}
        given = {name: value for name, value in bare.items() if value}
        values: dict[str, Any] = {
            each.name: each.metadata["read"](name, given[name])
            for each in fields(cls)
            if (name := each.metadata.get("variable")) in given
        }
        ranks = given.get("WORLD_SIZE", "1")
        if "budget" in values and ranks.isdecimal() and len(ranks) < 7:
            values["budget"] /= max(1, int(ranks))  # ranks judge each their own clips
        values.setdefault("store", cache / _STORE_NAME)
        profile, model = values.get("profile", cls.profile), values.get("model", "")
        if is_paid(profile) and model.startswith(PREFIX):
            _check_local(given)
            values = {"timeout": _LOCAL_TIMEOUT_S, "deadline": _LOCAL_DEADLINE_S, **values}
            try:
                local = LocalModel.named(model)
            except LocalModelError as error:
                raise JudgeConfigError(f"UGC_JUDGE_MODEL={error}") from None
            values |= {"local": local, "model": local.label, "base_url": _NOWHERE}
            return cls(**values, api_key=KEY, command=command)
        azure = _azure(given, model, command) if is_paid(profile) else None
        if azure is not None:
            values |= {"base_url": azure.address, "azure": azure}
        key = _api_key(given, profile, question, command, azure)
        return cls(**values, api_key=key, command=command)


def store_of(environ: Mapping[str, str], cache: Path) -> Path:
    """Return the file of judgments; raises ``JudgeConfigError``."""
    text = _bare(environ.get("UGC_JUDGE_STORE", ""))
    return _path("UGC_JUDGE_STORE", text) if text else cache / _STORE_NAME


def interval_of(environ: Mapping[str, str]) -> float:
    """Return ``UGC_JUDGE_INTERVAL``, points on 0-100; raises ``JudgeConfigError``."""
    text = _bare(environ.get("UGC_JUDGE_INTERVAL", "")) or str(_DEFAULT_INTERVAL)
    return _points("UGC_JUDGE_INTERVAL", text)


def _bare(value: str) -> str:
    """Return a value without what stands around it by mistake."""
    while True:
        bare = value.strip(_ALONE)
        if len(bare) > 1 and _QUOTES.get(bare[0]) == bare[-1]:
            bare = bare[1:-1]
        if bare == value:
            return bare
        value = bare


# ---- whose judge it is ----


def _check_local(given: Mapping[str, str]) -> None:
    """Refuse what a model on this machine cannot do."""
    ranks = given.get("WORLD_SIZE", "1")
    if _MODES.get(given.get("UGC_JUDGE_MODE", "").lower()):
        raise JudgeConfigError("UGC_JUDGE_MODE=batch is for OpenAI's API, not for a local judge")
    if ranks != "1":
        raise JudgeConfigError(
            f"UGC_JUDGE_MODEL={PREFIX}… would be started by each of {ranks} processes: make the "
            "captions with UGC_JUDGE_PROFILE=none, and score the saved ones with one process"
        )


def _azure(given: Mapping[str, str], deployment: str, command: Command) -> Azure | None:
    """Return Azure's API where the environment names that, as the ``openai`` library does."""
    address, version = given.get(AZURE_ADDRESS), given.get("OPENAI_API_VERSION")
    token = bool(given.get("AZURE_OPENAI_AD_TOKEN"))
    keys = token or bool(given.get("AZURE_OPENAI_API_KEY"))
    kind = given.get("OPENAI_API_TYPE", "").lower()
    if kind not in {"", "openai", "azure"}:
        raise JudgeConfigError(f"OPENAI_API_TYPE must be openai or azure, not {kind!r:.40}")
    if not kind:
        others = [name for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY") if name in given]
        if others == ["OPENAI_API_KEY"] and address and keys:
            raise JudgeConfigError(
                "there are keys of OpenAI and of Azure (OPENAI_API_KEY, AZURE_OPENAI_ENDPOINT): "
                "unset one, or say which it is with OPENAI_API_TYPE=openai or azure"
            )
        kind = "azure" if (address or keys) and not others else "openai"
    if kind == "openai":
        return None
    needed = {AZURE_ADDRESS: address, "OPENAI_API_VERSION": version}
    if command != "dry-run":
        needed["AZURE_OPENAI_API_KEY"] = "given" if keys else None
    if missing := [name for name, value in needed.items() if not value]:
        raise JudgeConfigError(f"a judge at Azure OpenAI needs {' and '.join(missing)}: set it")
    if not _DEPLOYMENT.fullmatch(deployment):
        raise JudgeConfigError(
            f"UGC_JUDGE_MODEL must be the name of the deployment at {AZURE_ADDRESS}"
        )
    if _MODES.get(given.get("UGC_JUDGE_MODE", "").lower()):
        raise JudgeConfigError("UGC_JUDGE_MODE=batch is for OpenAI's own API, not for Azure's")
    address = _base_url(AZURE_ADDRESS, str(address)).rstrip("/")
    return Azure(address.removesuffix("/openai"), str(version), deployment, token)


# ---- the key ----


def _api_key(
    given: Mapping[str, str],
    profile: str,
    question: Question,
    command: Command,
    azure: Azure | None,
) -> str:
    if not is_paid(profile):
        return ""
    if command == "dry-run":
        return _NO_KEY
    variable = "OPENAI_API_KEY" if azure is None else azure.variable
    key = given.get(variable, "")
    if not key:
        ways = []
        if question.has_estimate and command != "judge-check":
            option = "--profile " if command == "score" else "UGC_JUDGE_PROFILE="
            ways.append(f"{option}offline for a free estimate")
        if command == "lmms-eval":
            ways.append(f"UGC_JUDGE_PROFILE=none to write {question.subject}s only")
        choose = ", or ".join(ways)
        raise JudgeConfigError(
            f"the judge profile {profile!r} needs OPENAI_API_KEY: set it (any text for a server "
            f"that asks for none){choose and ', or choose '}{choose}"
        )
    _check_headers(given, variable)
    # All others are shown and stored; a header of the user's own may well have it.
    own = {"OPENAI_API_KEY", "OPENAI_CUSTOM_HEADERS", "AZURE_OPENAI_API_KEY", variable}
    for name, value in given.items() if len(key) >= _SHORTEST_SECRET else ():
        if name.startswith(("UGC_", "OPENAI_", "AZURE_")) and name not in own and key in value:
            raise JudgeConfigError(f"{name} has the key in it, which belongs in {variable}")
    return key


def _check_headers(given: Mapping[str, str], variable: str) -> None:
    """Refuse what the client would send in headers of its own accord, and could not."""
    for name in (variable, "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        value = given.get(name, "")
        if not (value.isascii() and value.isprintable() and " " not in value):
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
