"""Take the picture of a report that is in the README: ``python -m tests.drawing.report``.

Of the bundled clips, with captions written by hand (``captions.jsonl``), scored by the estimate.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from tests.support.browser import Browser
from ugc_tasks import score
from ugc_tasks.cli.main import main
from ugc_tasks.sample.demo import sample_home

HERE = Path(__file__).parent
PICTURE = HERE.parents[1] / "docs" / "report.png"


def draw(picture: Path = PICTURE) -> None:
    """Write the picture; Chromium is needed."""
    os.environ["UGC_VIDEOCAP_HOME"] = str(sample_home())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        rows = score("caption", HERE / "captions.jsonl", profile="offline").items
        (folder / "captioner.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
        main(["report", str(folder / "captioner.jsonl"), "-o", str(folder / "report.html")])
        browser = Browser(folder)
        browser.open((folder / "report.html").as_uri())
        browser.resize(1200, 930)
        browser.run("document.querySelector('#clips').scrollIntoView()")
        browser.screenshot(picture)
        browser.close()


if __name__ == "__main__":
    draw()
