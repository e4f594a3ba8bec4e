"""What the benchmark's authors published, and how it comes to this machine.

``published.toml`` lists their files with digests: annotations from the Hugging Face Hub, and from
the authors' GitHub repository what the Hub lacks. Their long prompts are constants in scripts of
that repository: a script is downloaded, compared with its digest and parsed, never run.
"""

from __future__ import annotations

import ast
import hashlib
import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from ugc_tasks.common.files import DataError
from ugc_tasks.data.fetch import FetchError, NoConnection, fetch, keep, unreachable
from ugc_tasks.data.home import TRUE, Home

META = "meta.parquet"  # the dataset's table of clips, which serves to find links

NO_REFERENCE = frozenset({"PI-0abb79ae-18ae-40d9-a66f-3ad7744a6095"})
"""Scored by the authors, but in no published annotation of captions."""

_MAX_BYTES = 16 << 20
_SERVERS = {  # by origin: the environment variable that names another server, and the usual one
    "hub": ("HF_ENDPOINT", "https://huggingface.co"),
    "github": ("UGC_VIDEOCAP_RAW_ENDPOINT", "https://raw.githubusercontent.com"),
}


def hashed(path: Path) -> str | None:
    """Return the SHA-256 of a file; None where it cannot be read."""
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None


@dataclass(frozen=True)
class PublishedFile:
    """One file; ``name`` is its path in a folder of annotations."""

    name: str
    origin: Literal["hub", "github"]
    source: str  # ``repo@commit``
    path: str  # on the server: its own, or that of the script it is a constant of
    sha256: str  # empty for the one file of which none is known
    script_sha256: str = ""

    @property
    def server(self) -> str:
        variable, usual = _SERVERS[self.origin]
        return (os.environ.get(variable, "").strip() or usual).rstrip("/")

    def is_at(self, path: Path) -> bool:
        """Tell whether a file is this one, byte for byte; without a known digest, any file is."""
        found = hashed(path)
        return found is not None and self.sha256 in ("", found)


@dataclass(frozen=True)
class Annotation:
    """An annotation file and where it came from (``local`` or ``repo@commit``)."""

    path: Path
    source: str


@dataclass(frozen=True)
class Collected:
    """What came of one file: ``fault`` is None where the published file is there."""

    name: str
    source: str
    fault: str | None


_stated = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
FILES: Mapping[str, PublishedFile] = {
    name: PublishedFile(
        name,
        each["origin"],
        each["source"],
        f"{each['folder']}/{about.get('script', name)}",
        about["sha256"],
        about.get("script_sha256", ""),
    )
    for each in _stated["source"]
    for name, about in each["files"].items()
}
"""By name; prompts are ``prompts/NAME.txt``."""


def published_questions(task: str) -> str:
    """Return the digest of a task's questions and references as published (``Questions``)."""
    return str(_stated["questions"][task])


def published_captions() -> tuple[str, Mapping[str, tuple[float, ...]]]:
    """Return how the label of the published captions' judge begins, and the rows by model.

    Figures are visual, audio, details and average on 20-100, as the authors print them.
    """
    captions = _stated["captions"]
    return captions["judge"], {name: tuple(row) for name, row in captions["rows"].items()}


RECORDED: Mapping[str, Mapping[str, PublishedFile]] = {
    model: {
        kind: PublishedFile(
            about[kind],
            _stated["recorded"]["origin"],
            _stated["recorded"]["source"],
            f"{_stated['recorded']['folder']}/{about[kind]}",
            about[f"{kind}_sha256"],
        )
        for kind in ("captions", "scores")
    }
    for model, about in _stated["recorded"]["models"].items()
}
"""By model, the files of its recorded ``captions`` and of the ``scores`` of these."""


def published_judge(path: Path) -> str | None:
    """Return the label of the judge of a file of recorded scores; None of any other file."""
    files = [of_model["scores"] for of_model in RECORDED.values()]
    found = path.suffix == ".json" and hashed(path) in {file.sha256 for file in files}
    return str(_stated["recorded"]["judge"]) if found else None


def recorded(model: str, kind: Literal["captions", "scores"], cache: Path) -> Path:
    """Return the recorded captions or scores of a model, downloaded if need be, by their digest.

    Raises ``DataError``.
    """
    return _obtain(RECORDED[model][kind], cache)


@dataclass(frozen=True)
class PublishedTable:
    """Figures of captions that others published, all by one judge.

    Attributes:
        judge: as far as it is stated; no label of ours, and comparable with none.
        rows: by system, visual, audio, details and average on 0-100.
        n: clips of each; None where it is not stated.
    """

    judge: str
    source: str
    protocol: str
    rows: Mapping[str, tuple[float, ...]]
    n: int | None = None


def published_elsewhere() -> list[PublishedTable]:
    """Return the tables of others than the authors, one for each judge and source."""
    return [
        PublishedTable(
            each["judge"],
            each["source"],
            each["protocol"],
            {name: tuple(row) for name, row in each["rows"].items()},
            each.get("n"),
        )
        for each in _stated["elsewhere"]
    ]


def is_published(path: Path) -> bool:
    """Tell whether an annotation file is the published one of its name, byte for byte."""
    return path.name in FILES and FILES[path.name].is_at(path)


def annotation(name: str, home: Home) -> Annotation:
    """Return an annotation file: the user's own in ``home.root``, or else the published one.

    That is taken from ``home.cache``, else from the cache of the Hub's own client, else downloaded.
    """
    if home.root is not None and (own := home.root / name).is_file():
        return Annotation(own, "local")
    try:
        return Annotation(_obtain(FILES[name], home.cache), FILES[name].source)
    except DataError as error:
        if home.root is None:
            raise
        raise DataError(f"{name} is not in UGC_VIDEOCAP_HOME={home.root}, and {error}") from None


def official_text(name: str, *, home: Path | None, cache: Path) -> str:
    """Return one of the authors' long prompts: from ``home/prompts``, else as an annotation is.

    ``DataError``: there is no such prompt, it cannot be had, or the user's own copy is another.
    """
    file = FILES.get(f"prompts/{name}.txt")
    if file is None:
        known = ", ".join(Path(each.name).stem for each in FILES.values() if each.script_sha256)
        raise DataError(f"there is no official prompt named {name!r}; the names are {known}")
    if home is None or not (path := home / file.name).exists():
        path = _obtain(file, cache)
    elif not file.is_at(path):
        raise DataError(
            f"{path} is not the official prompt {name!r} (its SHA-256 is not {file.sha256}); "
            "restore it byte for byte, or remove it to have it downloaded"
        )
    return path.read_bytes().decode()


def collect(root: Path, *, replace: bool) -> list[Collected]:
    """Bring every published file into ``root``; a file that fails does not stop the others.

    ``replace``: whether another file in its place may be written over, as in the cache.
    """
    wanted = {file.server for file in FILES.values() if not file.is_at(root / file.name)}
    away = {} if offline() else unreachable(wanted)
    done: list[Collected] = []
    for file in FILES.values():
        target, fault = root / file.name, None
        if target.exists() and not replace and not file.is_at(target):
            fault = (
                f"{target} is not the published file (its SHA-256 is not {file.sha256}): move it "
                "away to have the published one fetched"
            )
        else:
            try:
                _obtain(file, root, away)
            except DataError as error:
                fault = str(error)
        done.append(Collected(file.name, file.source, fault))
    return done


def offline() -> bool:
    """Tell whether the user forbids asking the network (``HF_HUB_OFFLINE``)."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in TRUE


def _obtain(file: PublishedFile, folder: Path, away: dict[str, str] | None = None) -> Path:
    """Return the file in ``folder``, put there if need be; raises ``DataError``.

    ``away`` has the servers that are not to be asked, and why; it may get one more.
    """
    target = folder / file.name
    if file.is_at(target):
        return target
    try:
        if (content := _from_hub_cache(file)) is None:
            if away and file.server in away:
                raise NoConnection(away[file.server])
            content = _download(file)
        keep(target, content)
    except FetchError as error:
        if isinstance(error, NoConnection) and away is not None:
            away[file.server] = str(error)
        # ``prepare`` gets the files of the benchmark, and not what the authors recorded.
        prepare = "run `ugc-videocap prepare` where there is a network, "
        raise DataError(
            f"{file.name} could not be downloaded from {file.source}: {error}; "
            f"{prepare if file.name in FILES else ''}set {_SERVERS[file.origin][0]} to a server "
            f"that has the same files, or put the file into {target.parent}"
        ) from None
    except OSError as error:
        raise DataError(f"{target} could not be written ({error.strerror})") from None
    return target


def _from_hub_cache(file: PublishedFile) -> bytes | None:
    """Return the file if the Hub's own client has downloaded it, at whatever commit."""
    from huggingface_hub import constants

    folder = "datasets--" + file.source.partition("@")[0].replace("/", "--")
    for path in Path(constants.HF_HUB_CACHE, folder, "snapshots").glob(f"*/{file.name}"):
        if file.sha256 and file.is_at(path):
            return path.read_bytes()
    return None


def _download(file: PublishedFile) -> bytes:
    """Not by ``hf_hub_download``, which compares no digest: see also ``fetch``."""
    from huggingface_hub import get_token

    if offline():
        raise FetchError("HF_HUB_OFFLINE forbids downloading it")
    token = get_token() if file.origin == "hub" else None
    content = fetch(f"{file.server}/{quote(file.path)}", most_bytes=_MAX_BYTES, token=token)
    expected = file.script_sha256 or file.sha256
    if expected not in ("", hashlib.sha256(content).hexdigest()):
        raise FetchError(f"what came is another file (its SHA-256 is not {expected})")
    if not file.script_sha256:
        return content
    for node in ast.walk(ast.parse(content)):  # for the text, in one literal or several
        literals = [each for each in ast.walk(node) if isinstance(each, ast.Constant)]
        literals.sort(key=lambda each: (each.lineno, each.col_offset))
        text = "".join(each.value for each in literals if isinstance(each.value, str))
        if hashlib.sha256(found := text.encode("utf-8", "replace")).hexdigest() == file.sha256:
            return found
    raise FetchError(f"the script has no text whose SHA-256 is {file.sha256}")
