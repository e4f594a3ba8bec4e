"""The ledger of uploads: whose they are, after any end of a run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from ugc_models.gemini.uploads import VALID_S, Ledger, Upload, leftovers

HERE = "the address"
_WRITES = """
import sys, time
from pathlib import Path
from ugc_models.gemini.uploads import Ledger, Upload
ledger = Ledger(Path(sys.argv[1]), sys.argv[2])
ledger.write(Upload("files/ugc-1", "digest video/mp4", time.time()))
ledger.write(Upload("files/ugc-1", "digest video/mp4", time.time(), "uri"))
ledger.write(Upload("files/ugc-2", "other video/mp4", time.time()))
ledger.write(Upload("files/ugc-2", "other video/mp4", time.time()), gone=True)
print("written", flush=True)
sys.stdin.read()
"""


def _run(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITES, str(folder), HERE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    return process


def test_uploads_of_a_run_that_lives_are_its_own_and_of_a_dead_one_the_next_runs(
    tmp_path: Path,
) -> None:
    process = _run(tmp_path)
    beside = Ledger(tmp_path, HERE)
    assert beside.found == []
    process.kill()
    process.communicate()
    elsewhere = Ledger(tmp_path, "another address")
    assert elsewhere.found == []
    after = Ledger(tmp_path, HERE)
    [found] = after.found
    assert (found.name, found.digest, found.uri) == ("files/ugc-1", "digest video/mp4", "uri")
    assert found.valid
    assert not found.sure
    for ledger in (beside, elsewhere):
        ledger.close(empty=True)
    after.close(empty=False)
    # It was written down again before the dead run's ledger went.
    again = Ledger(tmp_path, HERE)
    assert [upload.name for upload in again.found] == ["files/ugc-1"]
    again.close(empty=True)
    assert not leftovers(tmp_path)


def test_a_line_that_was_cut_off_and_lines_of_strangers_are_left_out(tmp_path: Path) -> None:
    def line(name: str, at: float) -> str:
        return json.dumps(
            {"name": name, "digest": "d", "at": at, "uri": "u", "place": HERE, "gone": False}
        )

    now = time.time()
    lines = [line("files/ugc-1", now), line("files/theirs", now), line("files/ugc-old", 0.0)]
    (tmp_path / "x.uploads").write_text("\n".join([*lines, line("files/ugc-2", now)[:20]]))
    ledger = Ledger(tmp_path, HERE)
    assert [upload.name for upload in ledger.found] == ["files/ugc-1"]
    ledger.close(empty=True)


def test_an_upload_is_used_again_while_the_api_keeps_it() -> None:
    now = time.time()
    assert Upload("files/ugc-1", "d", now, "uri").valid
    assert not Upload("files/ugc-1", "d", now).valid
    assert not Upload("files/ugc-1", "d", now - VALID_S, "uri").valid
    assert not Upload("files/ugc-1", "d", now + 60, "uri").valid
