"""Which link belongs to which clip: from a user's own table, or from the dataset's."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ugc_tasks.common.display import shown
from ugc_tasks.common.files import DataError, read_values
from ugc_tasks.data.questions import clip_id

ID_COLUMN, LINK_COLUMN = "video_id", "url"

_MAP = f"--map takes a CSV file whose first line names the columns {ID_COLUMN} and {LINK_COLUMN}"
_TIKTOK_VIDEO = re.compile(r"/(?:@[^/]*/video|share/video|embed(?:/v2)?|v)/\d{5,25}(?:\.html)?/?")
_SHORT_HOSTS = ("vm.tiktok.com", "vt.tiktok.com")
_MAX_LINK = 2048
_MAX_ROWS = 1_000_000


@dataclass(frozen=True)
class Links:
    """Links by ``video_id``, the columns they are from, and ids with more than one link."""

    by_id: Mapping[str, str]
    id_column: str
    link_column: str
    conflicts: tuple[str, ...] = ()


def links_from_map(path: Path, known: Collection[str]) -> Links:
    """Read a user's table: CSV, or JSON with the same names; further columns are ignored.

    Any http or https link counts. Clips that are not ``known`` are passed over, and so are those
    without a link. ``DataError``: it is another kind of table, holds something else than links, has
    two for a clip, or none for a known clip.
    """
    try:
        values = read_values(path)
    except DataError as error:
        raise DataError(f"{error}; {_MAP}" if path.is_file() else error) from None
    by_id: dict[str, str] = {}
    other = ""
    for number, row in enumerate(values if isinstance(values, list) else [values], 1):
        if not isinstance(row, dict) or not {ID_COLUMN, LINK_COLUMN} <= row.keys():
            has = ", ".join(map(repr, row)) if isinstance(row, dict) else "no columns"
            raise DataError(f"{path}, row {number}: {_MAP}; it has {shown(has, 200)}")
        video_id, value = clip_id(row[ID_COLUMN]), str(row[LINK_COLUMN] or "").strip()
        if video_id is None or video_id not in known:
            other = other or str(row[ID_COLUMN])
        elif value:
            # The value is not repeated: it may have a password in it.
            if (link := web_link(value)) is None:
                raise DataError(f"{path}, row {number}: {video_id} has no http or https link")
            if by_id.setdefault(video_id, link) != link:
                raise DataError(f"{path}, row {number}: {video_id} has two different links")
    if not by_id:
        raise DataError(
            f"{path}: it has no link of a clip of this benchmark, whose ids are as "
            f"{min(known, default='PI-…')} and not as {other!r:.80}; {_MAP}"
        )
    return Links(by_id, ID_COLUMN, LINK_COLUMN)


def links_from_dataset(meta: Path, known: Collection[str]) -> Links:
    """Read the dataset's own table (Parquet): links to TikTok videos count, and nothing else.

    The names of its columns were not known when this was written, so the two are taken that have an
    id and a link side by side most often. The dataset's other file is a list of links without ids.
    It is not read: nothing says that its order is that of the clips. ``DataError``: the table does
    not say which link is which clip's.
    """
    known = frozenset(known)
    found: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    counts: Counter[tuple[str, str]] = Counter()
    for row in _parquet_rows(meta):
        links = {column: link for column, value in row.items() if (link := tiktok_link(value))}
        for id_column, value in row.items():
            if links and (video_id := clip_id(value)) in known:
                for link_column, link in links.items():
                    counts[id_column, link_column] += 1
                    found[id_column, link_column][video_id].add(link)
    if not found:
        raise DataError(
            f"{meta.name} does not say which link is which clip's, and video_urls.txt names no "
            f"clips. Give a table of your own: {_MAP}"
        )
    ((columns, _),) = counts.most_common(1)
    single = {i: next(iter(links)) for i, links in found[columns].items() if len(links) == 1}
    return Links(single, *columns, tuple(sorted(found[columns].keys() - single.keys())))


def tiktok_link(value: object) -> str | None:
    """Return the plain form of a link to a video on tiktok.com, None for any other value."""
    if (link := web_link(value)) is None:
        return None
    parts = urlsplit(link)
    host = (parts.hostname or "").lower()
    if parts.port is not None or not (host == "tiktok.com" or host.endswith(".tiktok.com")):
        return None
    short = host in _SHORT_HOSTS or parts.path.startswith("/t/")
    video = short or _TIKTOK_VIDEO.fullmatch(parts.path) is not None
    return f"https://{host}{parts.path}" if video else None


def web_link(value: object) -> str | None:
    """Return a value that is an http or https address without a password in it, else None."""
    if not isinstance(value, str) or len(value) > _MAX_LINK:
        return None
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    plain = value.isprintable() and " " not in value and "@" not in parts.netloc
    return value if plain and parts.scheme in {"http", "https"} and parts.hostname else None


def _parquet_rows(path: Path) -> Iterator[dict[str, object]]:
    import pyarrow
    from pyarrow import parquet

    left = _MAX_ROWS
    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=1024):
                if (left := left - len(batch)) < 0:
                    raise DataError(f"{path}: more than {_MAX_ROWS} rows are too many")
                yield from batch.to_pylist()
    except DataError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({shown(error, 200)})") from None
