"""Clips come out of an archive, and whatever else it holds stays where it is."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import json
import lzma
import os
import stat
import struct
import subprocess
import sys
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ugc_tasks.common.files import DataError
from ugc_tasks.data import archive as module
from ugc_tasks.data.archive import Taken, take_from_archive
from ugc_tasks.data.ledger import Dead, Ledger

WANTED = [f"PI-{n}" for n in range(1, 6)]
Take = Callable[..., Taken]
Files = list[tuple[str, bytes]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger") as opened:
        yield opened


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return tmp_path / "in" / "videos"


@pytest.fixture
def take(tmp_path: Path, videos: Path, ledger: Ledger) -> Iterator[Take]:
    """Take clips; afterwards nothing is anywhere but the clips in their folder."""

    def run(archive: Path, **options: object) -> Taken:
        with pytest.MonkeyPatch.context() as patch:
            for name in options.keys() - {"present"}:
                patch.setattr(module, name, options[name])
            present = options.get("present", ())
            return take_from_archive(archive, WANTED, videos, ledger, present=present)  # type: ignore[arg-type]

    before = set(tmp_path.rglob("*"))
    yield run
    left = {p for p in set(tmp_path.rglob("*")) - before if p.is_file() or p.is_symlink()}
    clips = {videos / f"{video_id}.mp4" for video_id in WANTED}
    ours = {tmp_path / f"ledger{end}" for end in ("", "-shm", "-wal")}
    assert {p for p in left if p.parent.name not in ("", "made")} <= clips | ours


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


def a_zip(path: Path, files: Files, method: int = zipfile.ZIP_STORED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # it warns of duplicates
        for name, content in files:
            archive.writestr(name, content)
    return path


def a_tar(path: Path, files: Files) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def packed(pack: Callable[[bytes], bytes]) -> Callable[[Path, Files], Path]:
    def make(path: Path, files: Files) -> Path:
        path.write_bytes(pack(a_tar(path, files).read_bytes()))
        return path

    return make


KINDS = {
    "zip": a_zip,
    "deflated": lambda path, files: a_zip(path, files, zipfile.ZIP_DEFLATED),
    "tar": a_tar,
    "tar.gz": packed(gzip.compress),
    "tar.bz2": packed(bz2.compress),
    "tar.xz": packed(lzma.compress),
    "tar.xz of two streams": packed(lambda b: lzma.compress(b[:999]) + lzma.compress(b[999:])),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
zip_or_tar = pytest.mark.parametrize("make", [a_zip, a_tar], ids=["zip", "tar"])
Make = Callable[[Path, Files], Path]


@every_kind
def test_clips_in_any_folder_are_taken_and_other_files_are_not(
    *, take: Take, videos: Path, made: Path, ledger: Ledger, clip_bytes: bytes, make: Make
) -> None:
    ledger.note_dead("PI-1", Dead("http://a.example", "gone", "status 404"))
    files = [
        ("PI-1.mp4", clip_bytes),
        ("a/b/PI-2.mp4", clip_bytes),
        (".\\c\\PI-3.mp4", clip_bytes),
        ("README.txt", b"hello"),
        ("PI-4.mp4.txt", b"hello"),
        ("__MACOSX/._PI-5.mp4", b"hello"),
        ("PI-77.mp4", clip_bytes),
        ("PI-5", clip_bytes),
    ]
    # The name does not say what it is.
    taken = take(make(made / "archive", files))
    assert taken.done == ["PI-1", "PI-2", "PI-3"]
    assert taken.example == "README.txt"
    assert (taken.unknown, taken.refused, taken.cut) == (5, [], None)
    assert {path.name for path in videos.iterdir()} == {f"PI-{n}.mp4" for n in (1, 2, 3)}
    assert (videos / "PI-2.mp4").read_bytes() == clip_bytes
    assert ledger.dead("PI-1") is None, "it is there now"
    assert ledger.checked(videos / "PI-1.mp4") == (True, None)


@zip_or_tar
@pytest.mark.parametrize(
    "name",
    ["PI-1.MP4", "pi-1.Mp4", "/path/to/PI-1.mp4", "C:\\clips\\PI-1.mp4", "\\\\host\\a\\PI-1.mp4"],
)
def test_a_clip_is_known_by_its_id_in_whatever_spelling(
    *, take: Take, videos: Path, made: Path, clip_bytes: bytes, make: Make, name: str
) -> None:
    assert take(make(made / "a", [(name, clip_bytes)])).done == ["PI-1"]
    assert [path.name for path in videos.iterdir()] == ["PI-1.mp4"]


@zip_or_tar
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../PI-1.mp4", "leads out of the archive"),
        ("a/../../PI-1.mp4", "leads out of the archive"),
        ("a\\..\\PI-1.mp4", "leads out of the archive"),
        ("a\x1b[2J/PI-1.mp4", "control characters"),
        ("../unrelated.txt", "leads out of the archive"),
    ],
)
def test_a_name_that_is_a_trick_is_refused_by_name(
    *, take: Take, made: Path, clip_bytes: bytes, make: Make, name: str, said: str
) -> None:
    taken = take(make(made / "a", [(name, clip_bytes), ("PI-2.mp4", clip_bytes)]))
    assert taken.done == ["PI-2"], "one bad member does not stop the others"
    ((told, reason),) = taken.refused
    assert said in reason
    assert "\x1b" not in told


@zip_or_tar
def test_the_second_clip_of_an_id_is_refused(
    take: Take, videos: Path, made: Path, clip_bytes: bytes, make: Make
) -> None:
    taken = take(make(made / "a", [("a/PI-1.mp4", clip_bytes), ("b/PI-1.mp4", b"other")]))
    assert taken.done == ["PI-1"]
    assert taken.refused == [("b/PI-1.mp4", "the archive has PI-1 already: a duplicate")]
    assert (videos / "PI-1.mp4").read_bytes() == clip_bytes


@zip_or_tar
def test_what_is_there_is_left_alone(
    take: Take, videos: Path, made: Path, clip_bytes: bytes, make: Make
) -> None:
    files = [("PI-1.mp4", clip_bytes), ("PI-2.mp4", clip_bytes)]
    taken = take(make(made / "a", files), present={"PI-1"})
    assert (taken.there, taken.done) == (["PI-1"], ["PI-2"])


@zip_or_tar
def test_a_member_that_is_no_clip_is_refused(
    take: Take, made: Path, clip_bytes: bytes, make: Make
) -> None:
    files = [("PI-1.mp4", b"<html>"), ("PI-2.mp4", clip_bytes[:5000]), ("PI-3.mp4", clip_bytes)]
    taken = take(make(made / "a", files))
    assert taken.done == ["PI-3"]
    assert [name for name, _ in taken.refused] == ["PI-1.mp4", "PI-2.mp4"]
    assert all("it is no clip" in reason for _, reason in taken.refused)


@zip_or_tar
def test_a_member_that_says_it_is_too_large_is_not_unpacked(
    take: Take, made: Path, clip_bytes: bytes, make: Make
) -> None:
    files = [("PI-1.mp4", b"x" * 90_000), ("PI-2.mp4", clip_bytes)]
    taken = take(make(made / "a", files), MAX_CLIP_BYTES=80_000)
    assert taken.done == ["PI-2"]
    assert taken.refused == [("PI-1.mp4", "it says that it has 90000 bytes, more than 80000")]


@zip_or_tar
def test_no_more_comes_out_than_is_allowed_in_all(
    take: Take, made: Path, clip_bytes: bytes, make: Make
) -> None:
    files = [(f"PI-{n}.mp4", clip_bytes) for n in range(1, 6)]
    taken = take(make(made / "a", files), MAX_TOTAL_BYTES=int(2.5 * len(clip_bytes)))
    assert taken.done == ["PI-1", "PI-2"]
    assert taken.cut or taken.refused


def unix(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o644) << 16
    return info


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (stat.S_IFLNK, "link"),
        (stat.S_IFBLK, "device or a pipe"),
        (stat.S_IFCHR, "device or a pipe"),
        (stat.S_IFIFO, "device or a pipe"),
        (stat.S_IFSOCK, "device or a pipe"),
    ],
)
def test_links_and_devices_in_a_zip_are_refused(
    take: Take, made: Path, clip_bytes: bytes, kind: int, said: str
) -> None:
    with zipfile.ZipFile(made / "a", "w") as archive:
        archive.writestr(unix("PI-1.mp4", kind), "/etc/hostname")
        archive.writestr(unix("PI-2.mp4", stat.S_IFREG), clip_bytes)
    taken = take(made / "a")
    assert (taken.done, taken.refused) == (["PI-2"], [("PI-1.mp4", f"it is a {said}")])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device or a pipe"),
        (tarfile.BLKTYPE, "device or a pipe"),
        (tarfile.FIFOTYPE, "device or a pipe"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(
    take: Take, made: Path, clip_bytes: bytes, kind: bytes, said: str
) -> None:
    with tarfile.open(made / "a", "w") as archive:
        trick = tarfile.TarInfo("PI-1.mp4")
        trick.type, trick.linkname = kind, "/etc/hostname"
        archive.addfile(trick)
        honest = tarfile.TarInfo("PI-2.mp4")
        honest.size = len(clip_bytes)
        archive.addfile(honest, io.BytesIO(clip_bytes))
    taken = take(made / "a")
    assert (taken.done, taken.refused) == (["PI-2"], [("PI-1.mp4", f"it is a {said}")])


def test_a_name_that_goes_on_behind_a_null_is_refused(
    take: Take, made: Path, clip_bytes: bytes
) -> None:
    path = a_zip(made / "a", [("PI-1.mp4_.txt", clip_bytes), ("PI-2.mp4", clip_bytes)])
    path.write_bytes(path.read_bytes().replace(b"PI-1.mp4_.txt", b"PI-1.mp4\0.txt"))
    taken = take(path)
    assert taken.done == ["PI-2"]
    assert taken.refused == [("PI-1.mp4\\x00.txt", "its name has control characters")]


@zip_or_tar
def test_an_archive_may_have_many_members_but_not_without_limit(
    take: Take, made: Path, clip_bytes: bytes, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(made / "a", [(f"PI-{n}.mp4", clip_bytes) for n in (1, 2, 3)])
    assert (module._MAX_MEMBERS, module.MAX_TOTAL_BYTES) == (200_000, 64 << 30)
    monkeypatch.setattr(module, "_MAX_MEMBERS", 2)
    taken = take(path)
    assert (taken.done, taken.cut) == (["PI-1", "PI-2"], "it has more than 2 members")
    monkeypatch.setattr(module, "_MAX_MEMBERS", 3)
    taken = take(path, present={"PI-1", "PI-2"})
    assert (taken.done, taken.cut) == (["PI-3"], None)


def greedy(stream: bytes) -> bytes:
    """Return an xz stream that says that a dictionary of 4 GiB is needed to unpack it."""
    data = bytearray(stream)
    end = 12 + (data[12] + 1) * 4  # of the first block's header
    data[16] = 40
    struct.pack_into("<I", data, end - 4, zlib.crc32(data[12 : end - 4]))
    return bytes(data)


def test_an_encrypted_member_is_refused(take: Take, made: Path, clip_bytes: bytes) -> None:
    path = a_zip(made / "a", [("PI-1.mp4", clip_bytes), ("PI-2.mp4", clip_bytes)])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the first entry of the directory
    path.write_bytes(data)
    taken = take(path)
    assert (taken.done, taken.refused) == (["PI-2"], [("PI-1.mp4", "it is encrypted")])


def test_a_bomb_in_a_zip_is_not_unpacked(
    take: Take, made: Path, clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLACK", 0)
    files = [("PI-1.mp4", bytes(8 << 20)), ("PI-2.mp4", clip_bytes)]
    path = a_zip(made / "a", files, zipfile.ZIP_DEFLATED)
    taken = take(path)
    assert taken.done == ["PI-2"]
    most = 20 * path.stat().st_size
    said = f"it says that it has {8 << 20} bytes, more than {most}"
    assert taken.refused == [("PI-1.mp4", said)]


@pytest.mark.parametrize("claimed", [10, 1 << 40])
def test_a_size_that_lies_in_a_zip_is_refused(
    take: Take, made: Path, clip_bytes: bytes, claimed: int
) -> None:
    path = a_zip(
        made / "a", [("PI-1.mp4", clip_bytes), ("PI-2.mp4", clip_bytes)], zipfile.ZIP_DEFLATED
    )
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 24, min(claimed, 0xFFFFFFFE))  # its size, unpacked
    path.write_bytes(data)
    taken = take(path)
    assert taken.done == ["PI-2"]
    assert [name for name, _ in taken.refused] == ["PI-1.mp4"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_bomb_around_a_tar_stops_the_reading(
    take: Take,
    made: Path,
    clip_bytes: bytes,
    pack: Callable[[bytes], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert module.SLACK == 32 << 20
    monkeypatch.setattr(module, "SLACK", 1 << 20)
    path = a_tar(made / "a", [("PI-1.mp4", clip_bytes), ("x", bytes(8 << 20))])
    path.write_bytes(pack(path.read_bytes()))
    taken = take(path)
    assert taken.done == ["PI-1"], "what came before is kept"
    assert taken.cut == f"more than {(1 << 20) + 20 * path.stat().st_size} bytes come out of it"


def header(name: str, size: int | bytes = 0, kind: bytes = tarfile.REGTYPE, **more: bytes) -> bytes:
    """Return a tar's header as it could be forged; ``size`` may be the field itself."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if isinstance(size, int):
        size = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    block[124:136] = size
    for field, value in more.items():
        start = int(field.removeprefix("at"))
        block[start : start + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def extended(kind: bytes = tarfile.XHDTYPE, **records: str) -> bytes:
    """Return an extended header with these records (``__`` is a dot)."""
    lines = b""
    for keyword, value in records.items():
        rest = f" {keyword.replace('__', '.')}={value}\n".encode()
        length = len(rest) + len(str(len(rest)))
        length = len(rest) + len(str(length))
        lines += str(length).encode() + rest
    return header("x", len(lines), kind) + padded(lines)


END = bytes(1024)
HUGE = 1 << 60
FIRST = header("other.txt", 3) + padded(b"abc")
FORGED_TARS = {
    "octal size": header("PI-1.mp4", 8**11 - 1),
    "base-256 size": header("PI-1.mp4", HUGE),
    "negative size": header("PI-1.mp4", b"\xff" * 12),
    "size that is no number": header("PI-1.mp4", b"7777777zzzz\0"),
    "PAX size": extended(size=str(HUGE)) + header("PI-1.mp4"),
    "negative PAX size": extended(size=f"-{HUGE}") + header("PI-1.mp4"),
    "PAX size that is no number": extended(size="1e9") + header("PI-1.mp4"),
    "PAX size of a thousand digits": extended(size="9" * 1000) + header("PI-1.mp4"),
    "PAX record without end": header("x", 512, tarfile.XHDTYPE) + b"1" * 512,
    "PAX record beyond its end": header("x", 9, tarfile.XHDTYPE) + padded(b"99 path=x") + END,
    "PAX record of no length": header("x", 9, tarfile.XHDTYPE) + padded(b"0 path=x\n") + END,
    "header of a huge size": header("x", HUGE, tarfile.XHDTYPE),
    "name of a huge size": header("x", HUGE, tarfile.GNUTYPE_LONGNAME),
    "name that is not there": header("x", 4096, tarfile.GNUTYPE_LONGNAME),
    "link's name of a huge size": header("x", HUGE, tarfile.GNUTYPE_LONGLINK),
    "global header of a huge size": header("x", HUGE, tarfile.XGLTYPE),
    "other file of a huge size": header("movie.mkv", HUGE),
    "unknown kind of a huge size": header("x", HUGE, b"W"),
    "sparse map without end": header("PI-1.mp4", 99, tarfile.GNUTYPE_SPARSE, at482=b"\1"),
    "sparse map of garbage": header(
        "PI-1.mp4", 9, tarfile.GNUTYPE_SPARSE, at386=b"garbage that is no number"
    ),
    "PAX sparse map of garbage": extended(GNU__sparse__major="1", GNU__sparse__minor="0")
    + header("PI-1.mp4", 600)
    + b"999999999999\nx\n" * 40,
    "wrong checksum": header("PI-1.mp4", 3)[:-1] + b"x",
    "half a header": header("PI-1.mp4", 3)[:300],
    "content that is not there": header("PI-1.mp4", 30_000) + b"x" * 512,
    "no end": b"",
}


@pytest.mark.parametrize("before", [b"", FIRST], ids=["at once", "later"])
@pytest.mark.parametrize("forged", FORGED_TARS.values(), ids=FORGED_TARS.keys())
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
def test_a_forged_tar_is_damage_and_is_read_no_further_than_it_goes(
    take: Take, made: Path, before: bytes, forged: bytes, pack: Callable[[bytes], bytes]
) -> None:
    (made / "a").write_bytes(pack(before + forged))
    try:
        taken = take(made / "a")
    except DataError as error:
        assert "not a zip or tar archive that can be read" in str(error)
    else:
        assert taken.done == []
        assert taken.cut is not None
        assert "damaged or cut short" in taken.cut or "a header in it is larger" in taken.cut


@pytest.mark.parametrize(
    "odd",
    [
        header("PI-1.mp4", 9, tarfile.GNUTYPE_SPARSE) + padded(b"stored"),
        header("PI-1.mp4", 9, tarfile.GNUTYPE_SPARSE, at482=b"\1")
        + b"00000000000\0" * 42 + b"\1" + b"x" * 7
        + b"00000000000\0" * 42 + b"\0" + b"x" * 7
        + padded(b"stored"),
        extended(GNU__sparse__major="1", GNU__sparse__minor="0") + header("PI-1.mp4", 512)
        + padded(b"1\n0\n9\nstored"),
        extended(GNU__sparse__map="0,9", GNU__sparse__size="9") + header("PI-1.mp4"),
    ],
    ids=["old", "old, extended", "1.0", "0.1"],
)  # fmt: skip
def test_a_sparse_member_is_refused_without_its_map(
    take: Take, made: Path, clip_bytes: bytes, odd: bytes
) -> None:
    after = header("PI-2.mp4", len(clip_bytes)) + padded(clip_bytes)
    (made / "a").write_bytes(odd + after + END)
    taken = take(made / "a")
    assert taken.refused == [("PI-1.mp4", "it is no ordinary file")]
    assert (taken.done, taken.cut) == (["PI-2"], None)


def test_headers_that_extend_the_next_are_understood(
    take: Take, made: Path, clip_bytes: bytes
) -> None:
    size, clip = len(clip_bytes), padded(clip_bytes)
    long = ("a/" * 200 + "PI-1.mp4").encode() + b"\0"
    parts = [
        extended(tarfile.XGLTYPE, comment="of git"),
        header("x", len(long), tarfile.GNUTYPE_LONGNAME) + padded(long),
        header("cut", size) + clip,
        extended(path="b/" * 200 + "PI-2.mp4", size=str(size)) + header("cut") + clip,
        # What extends one member says nothing of the next.
        header("PI-3.mp4", size) + clip,
        header("x", 4, tarfile.GNUTYPE_LONGLINK) + padded(b"abc\0"),
        extended(tarfile.SOLARIS_XHDTYPE, path="PI-4.mp4") + header("cut", size) + clip,
        # A link has no content, whatever size it says.
        header("link", size, tarfile.SYMTYPE),
        header("folder", size, tarfile.DIRTYPE),
        extended(tarfile.XHDTYPE, path="PI-5.mp4") + header("cut", size, b"7") + clip,
    ]
    (made / "a").write_bytes(b"".join(parts) + END)
    taken = take(made / "a")
    assert (taken.done, taken.cut) == ([f"PI-{n}" for n in range(1, 6)], None)
    with tarfile.open(made / "a") as archive:
        names = [Path(name).name for name in archive.getnames()]
    assert names == ["PI-1.mp4", "PI-2.mp4", "PI-3.mp4", "PI-4.mp4", "link", "folder", "PI-5.mp4"]


@pytest.mark.parametrize("size", [64_000, 66_000])
def test_a_name_may_be_long_but_not_without_limit(
    take: Take, made: Path, clip_bytes: bytes, size: int
) -> None:
    long = b"a/" * 10 + b"x" * (size - 28) + b"PI-1.mp4"
    files = header("x", len(long), tarfile.GNUTYPE_LONGNAME) + padded(long) + header("y")
    after = header("PI-2.mp4", len(clip_bytes)) + padded(clip_bytes)
    (made / "a").write_bytes(FIRST + files + after + END)
    taken = take(made / "a")
    assert taken.done == (["PI-2"] if size == 64_000 else [])
    assert taken.cut == (None if size == 64_000 else "a header in it is larger than 64 KiB")


def test_an_archive_without_end_mark_gives_its_clips_and_says_so(
    take: Take, made: Path, clip_bytes: bytes
) -> None:
    (made / "a").write_bytes(header("PI-1.mp4", len(clip_bytes)) + padded(clip_bytes))
    taken = take(made / "a")
    assert taken.done == ["PI-1"]
    assert taken.cut == "it is damaged or cut short (it ends without an end mark)"


def test_an_empty_archive_has_nothing(take: Take, made: Path) -> None:
    (made / "a.tar").write_bytes(bytes(10_240))
    a_zip(made / "a.zip", [])
    for name in ("a.tar", "a.zip"):
        assert take(made / name) == Taken()


LIMITED = """
import json, resource, sys
from pathlib import Path
from ugc_tasks.data.archive import take_from_archive
from ugc_tasks.common.files import DataError
from ugc_tasks.data.ledger import Ledger
resource.setrlimit(resource.RLIMIT_AS, (256 << 20,) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (60,) * 2)
out = []
for name in sys.argv[2:]:
    try:
        taken = take_from_archive(
            Path(name), ["PI-1"], Path(sys.argv[1]), Ledger(None), present=()
        )
        out.append([*(reason for _, reason in taken.refused), taken.cut])
    except DataError as error:
        out.append(str(error).removeprefix(name))
print(json.dumps(out))
"""


def limited(folder: Path, *archives: Path) -> list[object]:
    """Take from each in a process of 256 MB; what was said of each."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), *map(str, archives)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: list[object] = json.loads(done.stdout)
    return said


def test_no_archive_takes_more_memory_than_clips_do(made: Path, tmp_path: Path) -> None:
    bomb = a_zip(made / "bomb.zip", [("PI-1.mp4", bytes(200 << 20))], zipfile.ZIP_BZIP2)
    assert bomb.stat().st_size < 1000
    patched(bomb, b"PK\1\2", 24, struct.pack("<L", 1000))  # a size that lies of it
    many = made / "many.zip"  # members by the hundred thousand
    entry = b"PK\1\2" + bytes(42)
    count = (40 << 20) // len(entry)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, count * len(entry), 30, 0)
    many.write_bytes(b"PK\3\4" + bytes(26) + entry * count + end)
    chain = made / "chain.tar"  # headers that extend headers
    chain.write_bytes(header("x", 0, tarfile.XGLTYPE) * 20_000)
    xz = made / "greedy.tar.xz"
    xz.write_bytes(greedy(lzma.compress(bytes(10_240))))
    assert limited(tmp_path / "in", bomb, many, chain, xz) == [
        ["it is packed by another method than deflate: pack the archive anew", None],
        ": not a zip or tar archive that can be read: its list of members is larger than 8 MiB",
        ": not a zip or tar archive that can be read: a header in it is larger than 64 KiB",
        ": not a zip or tar archive that can be read: it is damaged or cut short (MemoryError)",
    ]


def patched(path: Path, signature: bytes, offset: int, value: bytes) -> None:
    data = bytearray(path.read_bytes())
    at = data.rindex(signature) + offset
    data[at : at + len(value)] = value
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("signature", "offset", "value"),
    [
        (b"PK\5\6", 12, b"\xff\xff\xff\x7f"),
        (b"PK\1\2", 0, b"XX"),
        (b"PK\1\2", 6, b"\xff"),
    ],
    ids=[
        "directory too large",
        "no directory",
        "version",
    ],
)
def test_a_forged_directory_of_a_zip_is_one_sentence(
    *, take: Take, made: Path, signature: bytes, offset: int, value: bytes
) -> None:
    path = a_zip(made / "a", [("PI-1.mp4", b"x" * 100)])
    patched(path, signature, offset, value)
    with pytest.raises(DataError, match="not a zip or tar archive that can be read"):
        take(path)


@pytest.mark.parametrize("end", [b"PK\x06\x06", b"PK\x06\x07"])
def test_a_forged_end_of_a_large_zip_is_one_sentence(take: Take, made: Path, end: bytes) -> None:
    huge = struct.pack("<Q", 1 << 60)
    zip64 = b"PK\6\6" + struct.pack("<QHHLL", 44, 45, 45, 0, 0) + huge * 4
    locator = b"PK\6\7" + struct.pack("<LQL", 0, 30, 1)
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    whole = b"PK\3\4" + bytes(26) + zip64 + locator + tail
    (made / "a").write_bytes(whole.replace(end, b"PKXX") if end == b"PK\6\7" else whole)
    with pytest.raises(DataError, match="not a zip or tar archive that can be read"):
        take(made / "a")


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        (10, b"\x0c\0", "another method"),  # bzip2
        (10, b"\x5d\0", "another method"),  # Zstandard
        (10, b"\x09\0", "another method"),  # deflate64
        (8, b"\x20\0", "cannot be unpacked"),  # patched data
        (8, b"\x41\0", "it is encrypted"),
        (42, b"\xff\xff\xff\x7f", "cannot be unpacked"),  # where there is nothing
        (42, b"\1\0\0\0", "cannot be unpacked"),
        (16, b"\0\0\0\0", "cannot be unpacked"),  # another checksum
    ],
)
def test_a_forged_member_of_a_zip_is_refused_and_the_others_come(
    *, take: Take, made: Path, clip_bytes: bytes, offset: int, value: bytes, said: str
) -> None:
    path = a_zip(made / "a", [("PI-2.mp4", clip_bytes), ("PI-1.mp4", clip_bytes)])
    patched(path, b"PK\1\2", offset, value)
    taken = take(path)
    assert (taken.done, taken.cut) == (["PI-2"], None)
    ((name, reason),) = taken.refused
    assert name == "PI-1.mp4"
    assert said in reason


def test_members_that_share_their_bytes_bring_no_more_than_the_archive_has(
    take: Take, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLACK", 0)
    monkeypatch.setattr(module, "MAX_RATIO", 2)
    monkeypatch.setattr(module, "admit", lambda temporary, target, _: temporary.replace(target))
    clip = bytes(range(256)) * 400
    path = a_zip(made / "a", [(f"PI-{n}.mp4", clip if n == 1 else b"") for n in range(1, 6)])
    data = bytearray(path.read_bytes())
    first, at = data.index(b"PK\1\2"), 0
    while (at := data.find(b"PK\1\2", at + 1)) != -1:
        data[at + 16 : at + 28] = data[first + 16 : first + 28]  # its checksum and sizes
    path.write_bytes(data)
    taken = take(path)
    assert len(taken.done) <= 2


def test_a_link_to_what_is_no_file_is_not_waited_for(take: Take, made: Path) -> None:
    os.mkfifo(made / "pipe")
    for path, what in {made / "pipe": "pipe", Path("/dev/zero"): "device", made: "folder"}.items():
        with pytest.raises(DataError, match=f"is a {what}, not a file"):
            take(path)


def test_a_disk_that_is_full_is_not_the_archives_fault(
    take: Take, made: Path, clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "admit", full)
    with pytest.raises(DataError, match=r"in/videos: a clip cannot be written \(No space left"):
        take(a_tar(made / "a", [("PI-1.mp4", clip_bytes)]))


@every_kind
def test_an_archive_that_was_cut_gives_what_is_whole_and_says_so(
    take: Take, videos: Path, made: Path, clip_bytes: bytes, make: Make
) -> None:
    path = make(made / "a", [(f"PI-{n}.mp4", clip_bytes) for n in range(1, 5)])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.8)])
    if path.read_bytes()[:2] == b"PK":  # its directory is at its end
        with pytest.raises(DataError, match="not a zip or tar archive that can be read"):
            take(path)
        return
    try:
        taken = take(path)
    except DataError:
        # bzip2 and xz pack so much at once that the first member may be behind the cut.
        return
    assert taken.cut is not None
    assert "damaged or cut short" in taken.cut
    assert all((videos / f"{i}.mp4").read_bytes() == clip_bytes for i in taken.done)
    assert "PI-4" not in taken.done


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a zip or tar archive"),
        (b"hello" * 999, "not a zip or tar archive"),
        (b"PK\x03\x04 and so on", "not a zip or tar archive"),
        (b"\x28\xb5\x2f\xfd and so on", "Zstandard|not a zip or tar"),
        (b"\xfd7zXZ\x00 and so on", "not a zip or tar archive"),
    ],
    ids=["empty", "text", "false zip", "zst", "false xz"],
)
def test_what_is_no_archive_is_said_in_a_sentence(
    take: Take, made: Path, content: bytes, said: str
) -> None:
    (made / "a").write_bytes(content)
    with pytest.raises(DataError, match=said):
        take(made / "a")
    with pytest.raises(DataError, match="cannot be read"):
        take(made / "absent")
