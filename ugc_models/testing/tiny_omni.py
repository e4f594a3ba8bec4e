"""A Qwen2.5-Omni checkpoint of about a megabyte with random weights, for tests and the demo.

    python -m ugc_models.testing.tiny_omni OUT [--seed N]

vLLM and transformers load it as they load the real model: same architecture, same processor, same
prompt layout. Only the thinker is in it, which is all that captioning uses. What it writes is
gibberish, but gibberish that depends on the video and the sound it was given.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ugc_models.testing import tiny_model
from ugc_models.testing.tiny_model import QWEN2_5, Family

_MARKER = "tiny_omni.json"
_RECIPE = 2  # raise it whenever the same seed would give other bytes


def build_tiny_omni(folder: Path, *, seed: int = 0, family: Family = QWEN2_5) -> Path:
    """Write the checkpoint to ``folder`` and return it; the same seed gives the same bytes.

    The folder appears in one step, complete, or not at all. A checkpoint of this seed that is there
    already is left as it is.

    Raises:
        FileExistsError: ``folder`` is there and is something else; nothing in it is touched.
    """
    folder = Path(folder)
    stamp = json.dumps({"family": family.label, "recipe": _RECIPE, "seed": seed}, indent=2) + "\n"
    if _is_built(folder, stamp):
        return folder
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FileExistsError(f"{folder} is not a folder: choose another place")
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(
            f"{folder} holds something other than the tiny checkpoint of {family.label} and seed "
            f"{seed}: remove it or choose another folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        draft = Path(scratch) / "checkpoint"  # a folder of its own: the scratch is private (0700)
        draft.mkdir()
        _write(draft, seed, family)
        (draft / _MARKER).write_text(stamp, "utf-8")
        try:
            draft.rename(folder)
        except OSError:
            if not _is_built(folder, stamp):  # otherwise another process was quicker
                raise
    return folder


def _is_built(folder: Path, stamp: str) -> bool:
    marker = folder / _MARKER
    return marker.is_file() and marker.read_bytes() == stamp.encode()


def _write(folder: Path, seed: int, family: Family) -> None:
    from safetensors.torch import save
    from transformers import GenerationConfig

    tokenizer = tiny_model.train_tokenizer(family)
    thinker = tiny_model.make_thinker_config(tokenizer, family)
    weights = tiny_model.draw_weights(thinker, tokenizer, seed, family)
    # not save_file: its files are private to their owner, whatever the umask says
    (folder / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))
    tiny_model.make_processor(tokenizer, family).save_pretrained(folder)
    pad, end = map(tokenizer.token_to_id, (tiny_model.END_OF_TEXT, tiny_model.END_OF_TURN))
    generation = GenerationConfig(do_sample=False, eos_token_id=[end, pad], pad_token_id=pad)
    generation.save_pretrained(folder)
    config = json.dumps(tiny_model.make_config(thinker, family), indent=2, sort_keys=True)
    (folder / "config.json").write_text(config + "\n", "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ugc_models.testing.tiny_omni",
        description="Write a random Qwen2.5-Omni checkpoint of about 1 MB, for tests and trials.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default: 0)")
    options = parser.parse_args(arguments)
    try:
        print(build_tiny_omni(options.out, seed=options.seed))
    except OSError as error:
        print(f"tiny_omni: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
