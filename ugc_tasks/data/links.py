"""Which link belongs to which clip: from a user's own table, or from the dataset's."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
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
    without a link.

    Raises:
        DataError: the file is another kind of table, holds something else than links, has two links
            for a clip, or none for a known clip.
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

    The names of its columns were not known when this was written, so the column with the most ids
    and the one with the most links are taken. The dataset's other file is a list of links without
    ids. It is not read: nothing says that its order is that of the clips.

    Raises:
        DataError: the table does not say which link is which clip's.
    """
    known = frozenset(known)
    rows: list[tuple[dict[str, str], dict[str, str]]] = []
    for row in _parquet_rows(meta):
        ids = {column: i for column, v in row.items() if (i := clip_id(v)) in known and i}
        links = {column: link for column, v in row.items() if (link := tiktok_link(v))}
        if ids and links:
            rows.append((ids, links))
    if not rows:
        raise DataError(
            f"{meta.name} does not say which link is which clip's, and video_urls.txt names no "
            f"clips. Give a table of your own: {_MAP}"
        )
    id_column = _commonest(ids for ids, _ in rows)
    link_column = _commonest(links for _, links in rows)
    found: dict[str, set[str]] = defaultdict(set)
    for ids, links in rows:
        if id_column in ids and link_column in links:
            found[ids[id_column]].add(links[link_column])
    single = {video_id: next(iter(links)) for video_id, links in found.items() if len(links) == 1}
    return Links(single, id_column, link_column, tuple(sorted(found.keys() - single.keys())))


def tiktok_link(value: object) -> str | None:
    """Return the plain form of a link to a video on tiktok.com, None for any other value."""
    if (link := web_link(value)) is None:
        return None
    parts = urlsplit(link)
    host = (parts.hostname or "").lower()
    if parts.port is not None or not (host == "tiktok.com" or host.endswith(".tiktok.com")):
        return None
    short = host in _SHORT_HOSTS or parts.path.startswith("/t/")
    if not short and _TIKTOK_VIDEO.fullmatch(parts.path) is None:
        return None
    return f"https://{host}{parts.path}"


def web_link(value: object) -> str | None:
    """Return a value that is an http or https address without a password in it, else None."""
    if not isinstance(value, str) or len(value) > _MAX_LINK:
        return None
    if not value.isprintable() or " " in value:
        return None
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    return value if usable and "@" not in parts.netloc else None


def _parquet_rows(path: Path) -> Iterable[dict[str, object]]:
    import pyarrow
    from pyarrow import parquet

    left = _MAX_ROWS
    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=1024):
                if (left := left - len(batch)) < 0:
                    raise DataError(f"{path}: more than {_MAX_ROWS} rows are too many")
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not a readable Parquet file ({shown(error, 200)})") from None


def _commonest(columns: Iterable[Mapping[str, str]]) -> str:
    return Counter(column for row in columns for column in row).most_common(1)[0][0]
