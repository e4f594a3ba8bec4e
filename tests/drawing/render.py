"""Draw the bundled sample clips again.

    python -m tests.drawing.render [--out DIR] [--only NAME ...]

Needs Pillow and, for the clips with speech, Debian's espeak-ng. The same versions of Pillow,
espeak-ng and FFmpeg's libraries give the same files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.drawing.canvas import Canvas
from tests.drawing.display_matrix import set_quarter_turns
from tests.drawing.mp4 import write_mp4
from tests.drawing.scenes import SCENES
from tests.drawing.speech import SpeechUnavailable
from tests.drawing.synth import RATE
from ugc_tasks.sample import sample_home

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tests.drawing.scene import Scene


def render(scene: Scene, folder: Path) -> Path:
    """Write the clip as `folder/<video_id>.mp4`, replacing an earlier one at the end.

    Raises:
        SpeechUnavailable: the scene has speech and espeak-ng is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished = folder / f"{scene.video_id}.mp4"
    draft = finished.with_suffix(".part")
    sound = None if scene.sound is None else scene.sound().samples(scene.stereo)
    stored_size = scene.size if scene.quarter_turns % 2 == 0 else scene.size[::-1]
    try:
        write_mp4(
            draft,
            ((time, _picture(scene, time)) for time in scene.times()),
            size=stored_size,
            frame_rate=scene.frame_rate,
            sound=sound,
            sample_rate=RATE,
        )
        if scene.quarter_turns:
            set_quarter_turns(draft, scene.quarter_turns)
        draft.replace(finished)
    finally:
        draft.unlink(missing_ok=True)
    return finished


def _picture(scene: Scene, time: float) -> NDArray[np.uint8]:
    """The frame as it is stored: turned back by what players will turn it."""
    import numpy as np

    canvas = Canvas(scene.size)
    scene.draw(canvas, time)
    return np.ascontiguousarray(np.rot90(canvas.pixels(), scene.quarter_turns))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.drawing.render",
        description="Draw the bundled sample clips again (needs Pillow, and espeak-ng for speech).",
    )
    names = [scene.name for scene in SCENES]
    parser.add_argument(
        "--out",
        type=Path,
        default=sample_home() / "videos",
        help="the folder for the clips (default: the bundled one)",
    )
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names)
    )
    options = parser.parse_args(arguments)
    for scene in SCENES:
        if scene.name in options.only:
            try:
                path = render(scene, options.out)
            except (OSError, SpeechUnavailable) as error:
                print(f"render: {scene.name}: {error}", file=sys.stderr)
                return 1
            print(f"{scene.name:10} {path.stat().st_size:8,d} bytes  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
