"""Links are found by what a table's columns hold, whatever they are called, and never by order."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from ugc_tasks.common.files import DataError
from ugc_tasks.data import tables
from ugc_tasks.data.urls import (
    identify,
    links_from_dataset,
    links_from_map,
    tiktok_link,
    web_link,
)

IDS = [f"PI-{uuid.UUID(int=(i + 1) << 64)}" for i in range(12)]
NUMBERS = [str(7479179770182552878 + 1000 * i) for i in range(12)]
LINKS = [f"https://www.tiktok.com/@some.body{i}/video/{n}" for i, n in enumerate(NUMBERS)]
WANTED = dict(zip(IDS, LINKS, strict=True))

Rows = list[dict[str, object]]


def odd_rows() -> Rows:
    """Rows with nothing but odd column names, and columns that mislead."""
    return [
        {
            "Überschrift": f"clip {i}",
            "wo": f"/workspace/video/{video_id}.mp4",
            "": i,
            "author page": f"https://www.tiktok.com/@some.body{i}",
            "Quelle (orig.)": link,
            "thumb": "https://p16.tiktokcdn.com/one-for-all.jpeg",
        }
        for i, (video_id, link) in enumerate(WANTED.items())
    ]


def as_csv(path: Path, rows: Rows) -> Path:
    lines = [";".join(rows[0]), *(";".join(map(str, row.values())) for row in rows)]
    path.write_text("\ufeff" + "\n".join(lines), "utf-8")
    return path


def as_json(path: Path, rows: Rows) -> Path:
    path.write_text(json.dumps({"version": 1, "data": rows}))
    return path


def as_json_lines(path: Path, rows: Rows) -> Path:
    path.write_text("\n\n".join(json.dumps(row) for row in rows))
    return path


def as_parquet(path: Path, rows: Rows) -> Path:
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("write", [as_csv, as_json, as_json_lines, as_parquet])
def test_the_columns_are_found_in_a_table_of_any_kind(
    tmp_path: Path, write: Callable[[Path, Rows], Path]
) -> None:
    # The name says nothing of the kind.
    links = links_from_map(write(tmp_path / "mapping.dat", odd_rows()), IDS)
    assert links.by_id == WANTED
    assert (links.id_column, links.link_column) == ("wo", "Quelle (orig.)")


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(WANTED),
        json.dumps({i: {"a": {"b": [link]}} for i, link in WANTED.items()}),
        json.dumps(list(map(list, WANTED.items()))),
        "\n".join(f"{i}\t{link}" for i, link in WANTED.items()),
        "\n".join(f'"{i}",note,{link}' for i, link in WANTED.items()),
    ],
    ids=["id: link", "nested", "pairs", "tabs without header", "commas without header"],
)
def test_simpler_layouts_of_a_users_list_will_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "links").write_text(content)
    assert links_from_map(tmp_path / "links", IDS).by_id == WANTED


def test_a_csv_file_is_read_whatever_its_cells_hold(tmp_path: Path) -> None:
    lines = ['id; "a note of \u2028 two\nlines"; link']
    lines += [f'{i} ; "a; b\nc"; "{link}";more' for i, link in WANTED.items()]
    (tmp_path / "links").write_text("\r\n".join(lines), newline="")
    links = links_from_map(tmp_path / "links", IDS)
    assert (links.by_id, links.id_column, links.link_column) == (WANTED, "id", "link")
    (tmp_path / "links").write_text("\n".join(f"|{i}|{link}" for i, link in WANTED.items()))
    assert links_from_map(tmp_path / "links", IDS).id_column == IDS[0], "there is no header"
    (tmp_path / "links").write_text(
        "name\n" + "\n".join(f"x,{i},{link}" for i, link in WANTED.items())
    )
    links = links_from_map(tmp_path / "links", IDS)
    assert (links.by_id, links.id_column, links.link_column) == (WANTED, "column 2", "column 3")


def test_json_lines_may_hold_any_character(tmp_path: Path) -> None:
    rows = [{"id": i, "note": "a\u2028b\x85c", "url": link} for i, link in WANTED.items()]
    (tmp_path / "t").write_text(
        "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8", newline=""
    )
    assert links_from_map(tmp_path / "t", IDS).by_id == WANTED


def test_quotes_are_read_in_linear_time(tmp_path: Path) -> None:
    """Guessing a delimiter by the standard library takes minutes over each of these."""
    for cell in (',"', "',", '\n"'):
        (tmp_path / "t").write_text(f"id,url\n{IDS[0]},{LINKS[0]}\n" + cell * (32 << 10))
        with suppress(DataError):
            links_from_map(tmp_path / "t", IDS)


def test_rows_nested_deeper_than_any_table_are_not_followed(tmp_path: Path) -> None:
    def nested(depth: int) -> list[dict[str, object]]:
        value: object = LINKS[0]
        for _ in range(depth):
            value = [value]
        return [{"id": IDS[0], "url": value}]

    assert links_from_map(as_json(tmp_path / "t", nested(7)), IDS).by_id == {IDS[0]: LINKS[0]}
    for depth in (8, 400):
        with pytest.raises(DataError, match="no column has links"):
            links_from_map(as_json(tmp_path / "t", nested(depth)), IDS)


def test_a_table_has_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_csv(tmp_path / "t", [{"id": i, "url": link} for i, link in WANTED.items()])
    assert (tables._MAX_ROWS, tables._MAX_BYTES) == (1_000_000, 64 << 20)
    monkeypatch.setattr(tables, "_MAX_ROWS", 13)  # the line of names is one
    assert links_from_map(path, IDS).by_id == WANTED
    monkeypatch.setattr(tables, "_MAX_ROWS", 12)
    with pytest.raises(DataError, match="more than 12 rows are too many"):
        links_from_map(path, IDS)
    monkeypatch.setattr(tables, "_MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(DataError, match="bytes are too many for a list of links"):
        links_from_map(path, IDS)


def test_a_link_may_be_long_but_not_without_limit() -> None:
    link = "https://a.example/" + "x" * (2048 - 18)
    assert web_link(link) == link
    assert web_link(link + "x") is None


def test_a_list_of_files_named_by_their_ids_is_a_table_of_one_column(tmp_path: Path) -> None:
    own = {i: f"http://files.example/clips/{i}.mp4" for i in IDS}
    (tmp_path / "list.txt").write_text("\n".join(own.values()))
    assert links_from_map(tmp_path / "list.txt", IDS).by_id == own


def test_the_datasets_table_counts_only_links_to_tiktok_videos(tmp_path: Path) -> None:
    rows = odd_rows()
    for row in rows:
        row["mirror"] = f"https://evil.example/{row['wo']}"
    links = links_from_dataset(as_parquet(tmp_path / "meta.parquet", rows), None, IDS)
    assert (links.by_id, links.link_column) == (WANTED, "Quelle (orig.)")


def test_links_of_the_datasets_list_are_paired_by_the_videos_number(tmp_path: Path) -> None:
    rows: Rows = [{"id": i, "nr": int(n)} for i, n in zip(IDS, NUMBERS, strict=True)]
    listed = tmp_path / "video_urls.txt"
    listed.write_text("\n".join(reversed(LINKS)))
    links = links_from_dataset(as_parquet(tmp_path / "meta.parquet", rows), listed, IDS)
    assert (links.by_id, links.link_column) == (WANTED, "nr")


def test_links_without_ids_are_never_paired_by_their_order(tmp_path: Path) -> None:
    meta = as_parquet(tmp_path / "meta.parquet", [{"id": i, "words": 3} for i in IDS])
    listed = tmp_path / "video_urls.txt"
    listed.write_text("\n".join(LINKS))
    with pytest.raises(DataError) as caught:
        links_from_dataset(meta, listed, IDS)
    said = str(caught.value)
    assert "'id' has the ids, but no column has links" in said
    assert "video_urls.txt has 12 links for 12 clips but no ids" in said
    assert "not paired by order" in said
    assert "--map FILE" in said


def test_a_table_without_ids_says_what_it_has(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "t.csv", [{"name": "a", "url": LINKS[0]}])
    with pytest.raises(DataError) as caught:
        links_from_map(path, IDS)
    said = str(caught.value)
    assert "no column has ids of clips of this benchmark: its columns are 'name', 'url'" in said
    assert f"it has for example 'name', and an id is for example {IDS[0]}" in said


def test_one_clip_with_two_links_is_refused_in_a_map_and_left_out_of_the_dataset(
    tmp_path: Path,
) -> None:
    rows: Rows = [{"id": i, "url": link} for i, link in WANTED.items()]
    path = as_parquet(tmp_path / "meta.parquet", [*rows, {"id": IDS[0], "url": LINKS[1]}])
    with pytest.raises(DataError, match=f"{IDS[0]} has two different links in column 'url'"):
        links_from_map(path, IDS)
    links = links_from_dataset(path, None, IDS)
    assert links.conflicts == (IDS[0],)
    assert set(links.by_id) == set(IDS[1:])


def test_a_row_about_several_clips_says_nothing_of_one(tmp_path: Path) -> None:
    rows: Rows = [{"id": i, "url": link} for i, link in WANTED.items()]
    rows.append({"id": IDS[:2], "url": "https://www.tiktok.com/@both/video/7479179770182552999"})
    assert links_from_map(as_json(tmp_path / "t", rows), IDS).by_id == WANTED


def test_two_columns_of_equal_right_are_not_chosen_from(tmp_path: Path) -> None:
    rows: Rows = [
        {"id": i, "a": f"http://a.example/{i}", "b": f"http://b.example/{i}"} for i in IDS
    ]
    with pytest.raises(DataError, match="'a' and 'b' hold different links for the same clips"):
        links_from_map(as_json(tmp_path / "t", rows), IDS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00", "neither Parquet nor UTF-8 text"),
        (b'{"a": 1}\n{"a": ', "line 2 is not valid JSON"),
        (b"[" * 100_000, "nested too deeply|not valid JSON"),
        (b"PAR1 and then nothing", "not a readable Parquet file"),
        (b"", "no column has ids"),
    ],
    ids=["binary", "cut", "deep", "false Parquet", "empty"],
)
def test_a_file_that_is_no_table_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(DataError, match=said):
        links_from_map(tmp_path / "t", IDS)
    with pytest.raises(DataError, match="cannot be read"):
        links_from_map(tmp_path / "absent", IDS)
    with pytest.raises(DataError, match="it is no ordinary file"):
        links_from_map(Path("/dev/zero"), IDS)


@pytest.mark.parametrize(
    "value",
    [
        IDS[0],
        f"/a/b/{IDS[0]}.mp4",
        f"C:\\v\\{IDS[0]}.mp4",
        IDS[0].upper(),
        IDS[0][3:],
        f"x {IDS[0]}",
    ],
)
def test_an_id_is_known_in_many_clothes(value: str) -> None:
    assert identify(value, IDS) == IDS[0]


@pytest.mark.parametrize("value", ["", "PI-", f"{IDS[0]} {IDS[1]}", f"PI-{uuid.UUID(int=5)}"])
def test_what_is_no_one_known_id_is_none(value: str) -> None:
    assert identify(value, IDS) is None


@pytest.mark.parametrize(
    "value",
    [
        "https://www.tiktok.com/@a/video/7479179770182552878?is_from_webapp=1#x",
        "http://m.tiktok.com/v/7479179770182552878.html",
        "https://vm.tiktok.com/ZMabcdef/",
        "https://www.tiktok.com/t/ZTabcdef/",
        "https://vt.tiktok.com/ZMabcdef/",
        "https://tiktok.com/@a/video/7479179770182552878",
        "https://www.tiktok.com/share/video/7479179770182552878",
        "https://www.tiktok.com/embed/v2/7479179770182552878",
    ],
)
def test_a_link_to_a_tiktok_video_is_plain_https(value: str) -> None:
    assert tiktok_link(value) == value.replace("http:", "https:").split("?")[0]


@pytest.mark.parametrize(
    "value",
    [
        "https://www.tiktok.com/@a",
        "https://tiktok.com.evil.example/@a/video/7479179770182552878",
        "https://eviltiktok.com/@a/video/7479179770182552878",
        "https://www.eviltiktok.com/@a/video/7479179770182552878",
        "https://www.tiktok.com/@a/video/1234",
        "https://www.tiktok.com/@a/video/7479179770182552878/likes",
        "https://www.tiktok.com/@a/t/ZTabcdef",
        "https://evil.example/https://www.tiktok.com/@a/video/7479179770182552878",
        "https://www.tiktok.com@evil.example/@a/video/7479179770182552878",
        "https://www.tiktok.com:8443/@a/video/7479179770182552878",
        "file://www.tiktok.com/@a/video/7479179770182552878",
        "https://p16.tiktokcdn.com/x.jpeg",
    ],
)
def test_any_other_link_is_none_of_the_datasets(value: str) -> None:
    assert tiktok_link(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "file:///etc/passwd",
        "ftp://a.example/x",
        "//a.example/x",
        "http://",
        "https://a.example:port/",
        "https://user:hunter2@a.example/x",
        "https://a.example/a b",
        "https://a.example/\x1b[2J",
        "https://[::1",
        "https://a.example/" + "x" * 3000,
    ],
)
def test_a_map_may_hold_web_links_only(value: str) -> None:
    assert web_link(value) is None
