"""One asks, the others wait: within a process, across processes, and after any end of one."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.no_locks import SUPPORTED, said_without_locks
from ugc_tasks.judge.cache import JudgeStoreError, Locks

KEY = hashlib.sha256(b"one").hexdigest()
OTHER = hashlib.sha256(b"two").hexdigest()
_ROOT = Path(__file__).resolve().parents[3]
_HOLD = """
import sys
from pathlib import Path
from ugc_tasks.judge.cache import Locks
claims = Locks(Path(sys.argv[1]))
with claims.locked(sys.argv[2]) as mine:
    print(mine, flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another_process(store: Path, key: str = KEY) -> Iterator[tuple[bool, subprocess.Popen[str]]]:
    """Claim ``key`` in a process of its own; tell whether it got it."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(store), key],
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    try:
        yield process.stdout.readline() == "True\n", process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "judgments.sqlite3"


def test_a_claim_keeps_out_a_second_judge_of_the_same_process(store: Path) -> None:
    first, second = Locks(store), Locks(store)
    with first.locked(KEY) as mine:
        assert mine
        with second.locked(KEY) as theirs:
            assert not theirs
        with first.locked(KEY) as again:
            assert not again
        with second.locked(OTHER) as other:
            assert other
    with second.locked(KEY) as now:
        assert now
    first.close()
    second.close()


def test_closing_one_judge_leaves_the_claims_of_another_against_other_processes(
    store: Path,
) -> None:
    """Closing any descriptor of the file would drop all locks of the process."""
    first, second = Locks(store), Locks(store)
    with first.locked(KEY) as mine:
        assert mine
        second.close()
        with another_process(store) as (theirs, _):
            assert not theirs
    first.close()


def test_of_two_threads_that_claim_at_once_one_has_it(store: Path) -> None:
    """Each judge has a thread of its own."""
    rounds, at_once = 500, threading.Barrier(2)
    got: list[list[bool]] = [[], []]

    def claim(number: int) -> None:
        claims = Locks(store)
        for _ in range(rounds):
            at_once.wait(60)
            with claims.locked(KEY) as mine:
                got[number].append(mine)
                at_once.wait(60)
        claims.close()

    threads = [threading.Thread(target=claim, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sum(both) for both in zip(*got, strict=True)] == [1] * rounds


def test_releasing_one_claim_leaves_all_others_against_other_processes(store: Path) -> None:
    first, next_one, last = "0" * 15, "0" * 14 + "1", "f" * 15
    claims = Locks(store)
    with claims.locked(next_one + "0" * 49) as one, claims.locked(last + "0" * 49) as two:
        assert (one, two) == (True, True)
        with claims.locked(first + "0" * 49) as released:
            assert released
        for key in (next_one, last):
            with another_process(store, key + "0" * 49) as (theirs, _):
                assert not theirs
    claims.close()


def test_a_judge_that_is_opened_meanwhile_does_not_drop_them_either(store: Path) -> None:
    first = Locks(store)
    with first.locked(KEY):
        Locks(store).close()
        Locks(store.parent / "." / store.name).close()
        with another_process(store) as (theirs, _):
            assert not theirs
    first.close()


def test_another_process_keeps_this_one_out_until_it_ends_however_it_ends(store: Path) -> None:
    claims = Locks(store)
    with another_process(store) as (theirs, process):
        assert theirs
        with claims.locked(KEY) as mine:
            assert not mine
        process.kill()
        process.wait()
        with claims.locked(KEY) as mine:
            assert mine
    claims.close()


def test_closing_releases_what_was_claimed(store: Path) -> None:
    first, second = Locks(store), Locks(store)
    holding = first.locked(KEY)
    assert holding.__enter__()
    first.close()
    with second.locked(KEY) as mine:
        assert mine
        holding.__exit__(None, None, None)  # comes late, and takes nobody's claim away
        with another_process(store) as (theirs, _):
            assert not theirs
    second.close()


_FORK = """
import os, sys
from pathlib import Path
from ugc_tasks.judge.cache import Locks

store, key, other = Path(sys.argv[1]), *sys.argv[2:]
parent = Locks(store)
holding = parent.locked(key)
assert holding.__enter__()
to_child, to_parent = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    own = Locks(store)
    seen = []
    with own.locked(key) as mine:
        seen.append(mine)  # the parent has it
    os.write(to_parent[1], b"x")
    os.read(to_child[0], 1)  # the parent has released it
    with own.locked(key) as mine, own.locked(other) as another:
        seen += [mine, another]
        os.write(to_parent[1], b"x")
        os.read(to_child[0], 1)  # the parent has tried
    own.close()
    print("child", *seen, flush=True)
    os._exit(0)
os.read(to_parent[0], 1)
holding.__exit__(None, None, None)
os.write(to_child[1], b"x")
os.read(to_parent[0], 1)
with parent.locked(key) as first, parent.locked(other) as second:
    print("parent", first, second, flush=True)
os.write(to_child[1], b"x")
os.waitpid(child, 0)
with parent.locked(key) as first:
    print("parent", first)
"""


def test_a_fork_has_none_of_the_claims_and_takes_and_keeps_its_own(store: Path) -> None:
    command = [sys.executable, "-c", _FORK, str(store), KEY, OTHER]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "parent False False", "child False True True", "parent True",
    ], done.stderr  # fmt: skip


def test_keys_that_begin_alike_are_claimed_apart_and_nobody_else_may_open_the_file(
    store: Path,
) -> None:
    claims = Locks(store)
    with claims.locked("0" * 14 + "1" * 50) as one, claims.locked("0" * 14 + "2" * 50) as two:
        assert (one, two) == (True, True)
        other = Locks(store)
        for key in ("0" * 15, "0" * 14 + "3"):
            with other.locked(key) as its:
                assert its, "that of a neighbour"
        other.close()
    claims.close()
    assert stat.S_IMODE(store.with_name(f"{store.name}.lock").stat().st_mode) == 0o600


def test_no_descriptor_is_left_open(store: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        claims = [Locks(store) for _ in range(3)]
        for claim in claims:
            claim.close()
            claim.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.skipif(not SUPPORTED, reason="locks cannot be taken away on this machine")
def test_where_there_are_no_locks_nothing_is_claimed_and_that_is_one_sentence(store: Path) -> None:
    program = f"""
from pathlib import Path
from ugc_tasks.judge.cache import JudgeStoreError, Locks
try:
    with Locks(Path({str(store)!r})).locked("{KEY}"):
        print("claimed")
except JudgeStoreError as error:
    print(error)
"""
    assert said_without_locks(program, errno.ENOLCK) == (
        f"the lock file {store}.lock cannot be used: No locks available; without it two runs could "
        "pay for the same judgment twice: move it away or set UGC_JUDGE_STORE to another file\n"
    )


def test_a_place_where_no_file_can_be_is_one_sentence(store: Path) -> None:
    store.with_name(f"{store.name}.lock").mkdir()
    with pytest.raises(JudgeStoreError, match=r"lock cannot be used: Is a directory; without it"):
        Locks(store)
