"""Which link belongs to which clip: found in a table by what its columns hold, never by order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from ugc_tasks.common.files import DataError
from ugc_tasks.data.published import URL_LIST
from ugc_tasks.data.tables import Row, read_rows

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_TIKTOK_VIDEO = re.compile(r"/(?:@[^/]*/video|share/video|embed(?:/v2)?|v)/(\d{5,25})(?:\.html)?/?")
_SHORT_HOSTS = ("vm.tiktok.com", "vt.tiktok.com")
_MAX_LINK = 2048

Accept = Callable[[str], str | None]
"""Turns a value into a link, or says by None that it is none."""


@dataclass(frozen=True)
class Links:
    """Links by ``video_id``, the columns they are from, and ids with more than one link."""

    by_id: Mapping[str, str]
    id_column: str
    link_column: str
    conflicts: tuple[str, ...] = ()


def links_from_map(path: Path, known: Collection[str]) -> Links:
    """Read a user's own list: any http or https link counts.

    Raises:
        DataError: no ids or no links are in it, or an id has two links.
    """
    links = find_links(read_rows(path), known, web_link, str(path))
    if links.conflicts:
        raise DataError(
            f"{path}: {links.conflicts[0]} has two different links in column "
            f"{links.link_column!r} ({len(links.conflicts)} such ids): keep one of them"
        )
    return links


def links_from_dataset(meta: Path, url_list: Path | None, known: Collection[str]) -> Links:
    """Read the dataset's own table: links to TikTok videos count, and nothing else.

    Where the table has the videos' numbers instead of their links, the links with those numbers in
    ``url_list`` are taken.

    Raises:
        DataError: the table does not say which link is which clip's.
    """
    listed = _listed(url_list)

    def accept(value: str) -> str | None:
        return listed.get(value) or tiktok_link(value)

    try:
        return find_links(read_rows(meta), known, accept, meta.name)
    except DataError as error:
        about = ""
        if listed:
            about = (
                f". {URL_LIST} has {len(listed)} links for {len(known)} clips but no ids, and they "
                "are not paired by order, because nothing says that the order is the same"
            )
        raise DataError(
            f"{error}{about}. Give a table of your own with --map FILE: ids in one column, links "
            "in another"
        ) from None


def find_links(rows: Sequence[Row], known: Collection[str], accept: Accept, source: str) -> Links:
    """Pick the column that holds the most known ids, and the one with the most links beside them.

    Raises:
        DataError: there is no such column, or two columns hold different links equally often.
    """
    names = list(dict.fromkeys(column for row in rows[:1000] for column, _ in row))
    seen = f"its columns are {', '.join(map(repr, names[:20])) or 'none'}"
    known = frozenset(known)
    ids: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for column, value in row:
            if (video_id := identify(value, known)) is not None:
                ids[column].add(video_id)
    if not ids:
        values = (value for row in rows for _, value in row if value)
        raise DataError(
            f"{source}: no column has ids of clips of this benchmark: {seen}; it has for example "
            f"{next(values, '')!r:.80}, and an id is for example {min(known, default='PI-…')}"
        )
    id_column = max(ids, key=lambda column: len(ids[column]))
    links: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    videos: dict[str, int] = defaultdict(int)
    for row in rows:
        named = {i for column, v in row if column == id_column and (i := identify(v, known))}
        if len(named) != 1:
            continue  # a row about several clips says nothing about one
        for column, value in row:
            if (link := accept(value)) is not None:
                links[column][next(iter(named))].add(link)
                videos[column] += tiktok_link(value) is not None
    if not links:
        raise DataError(f"{source}: {id_column!r} has the ids, but no column has links; {seen}")

    def rank(column: str) -> tuple[int, int, int]:
        found = links[column]
        return len(found), videos[column], len(set().union(*found.values()))

    link_column, *others = sorted(links, key=rank, reverse=True)
    best = links[link_column]
    equal = (c for c in others if rank(c) == rank(link_column) and links[c] != best)
    if (rival := next(equal, None)) is not None:
        raise DataError(
            f"{source}: {link_column!r} and {rival!r} hold different links for the same clips: "
            "give a table with one of the two columns"
        )
    conflicts = tuple(sorted(video_id for video_id, found in best.items() if len(found) > 1))
    single = {video_id: next(iter(found)) for video_id, found in best.items() if len(found) == 1}
    return Links(single, id_column, link_column, conflicts)


def identify(value: str, known: Collection[str]) -> str | None:
    """Return the known id that a value is, names as a file, or holds as its only UUID."""
    if value in known:
        return value
    if (stem := PurePosixPath(value.replace("\\", "/")).stem) in known:
        return stem
    found = {f"PI-{uuid.lower()}" for uuid in _UUID.findall(value)}
    only = found.pop() if len(found) == 1 else None
    return only if only in known else None


def tiktok_link(value: str) -> str | None:
    """Return the plain form of a link to a video on tiktok.com, None for any other text."""
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


def web_link(value: str) -> str | None:
    """Return a value that is an http or https address without a password in it, else None."""
    if len(value) > _MAX_LINK or not value.isprintable() or " " in value:
        return None
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    return value if usable and "@" not in parts.netloc else None


def _listed(url_list: Path | None) -> dict[str, str]:
    """Return the links of the dataset's list by the video's number."""
    try:
        lines = url_list.read_text("utf-8", "replace").splitlines() if url_list else []
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        link = tiktok_link(line.strip())
        if link and (video := _TIKTOK_VIDEO.fullmatch(urlsplit(link).path)):
            found[video[1]] = link
    return found
