"""What is known of lmms-eval's own models: how they write failures, and which get no sound.

It was read from the source of one version (``lmms_models.toml``). What is said of a clip's sound
holds where the model's source files are the same as they were read, else nothing is known.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_PACKAGE = "lmms_eval.models."
_USES = re.compile(
    r"^\s*(?:from|import) lmms_eval\.(models\.(?:chat|simple|model_utils)[.\w]*|protocol)\b", re.M
)


def is_failure(text: str) -> bool:
    """Tell whether a whole answer is one that a model of lmms-eval writes where it failed."""
    return any(form.fullmatch(text) for form in _forms())


def writes_nothing_for_failures(model: object) -> bool:
    """Tell whether a model gives an empty text where it failed, and says no more of it."""
    return not _table()["blank"].isdisjoint(_modules(type(model)))


def sound_left_out(model: object) -> str:
    """Return why no clip's sound reaches a model; empty where it does, or where that is unknown."""
    name = next(iter(_modules(type(model))), "")
    if not type(model).__module__.startswith(_PACKAGE) or name not in _table()["silent"]:
        return ""
    entry, digest = _table()["silent"][name]
    if getattr(model, entry.get("unless", ""), False) or source_digest(name) != digest:
        return ""
    return str(entry["how"])


@cache
def source_digest(name: str) -> str:
    """Return the digest of a model's source, ``chat.openai``, and of lmms-eval's that it uses."""
    spec = find_spec("lmms_eval")
    root = Path(str(spec.origin)).parent if spec else Path()
    found: dict[Path, str] = {}
    wanted = [root / "models" / f"{name.replace('.', '/')}.py"]
    while wanted:
        path = wanted.pop()
        if path in found or not path.is_file():
            continue
        found[path] = path.read_text("utf-8")
        wanted += [root / f"{used.replace('.', '/')}.py" for used in _USES.findall(found[path])]
    whole = hashlib.sha256()
    for path in sorted(found):
        whole.update(found[path].encode())
    return whole.hexdigest()[:16] if found else ""


def _modules(kind: type) -> list[str]:
    """Return where lmms-eval has a model and what it is derived from: ``chat.openai``, ..."""
    modules = (each.__module__ for each in kind.__mro__)
    return [name.removeprefix(_PACKAGE) for name in modules if name.startswith(_PACKAGE)]


@cache
def _forms() -> tuple[re.Pattern[str], ...]:
    entries = [each for each in _table()["failed"] if not each.get("begins")]
    return tuple(re.compile(each["form"], re.DOTALL) for each in entries)


@cache
def _table() -> dict[str, Any]:
    text = Path(__file__).with_suffix(".toml").read_text("utf-8")
    table = tomllib.loads(text)
    silent = {
        name: (each, digest) for each in table["silent"] for name, digest in each["models"].items()
    }
    return {**table, "blank": frozenset(table["blank"]), "silent": silent}
