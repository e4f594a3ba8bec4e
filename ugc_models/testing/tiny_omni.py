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

_MARKER = "tiny_omni.json"
_RECIPE = 2  # raise it whenever the same seed would give other bytes


def build_tiny_omni(folder: Path, *, seed: int = 0) -> Path:
    """Write the checkpoint to `folder` and return it; the same seed gives the same bytes.

    The folder appears in one step, complete, or not at all, so that a run that was interrupted
    leaves nothing which looks like a checkpoint. A checkpoint of this seed that is there already
    is left as it is.

    Raises:
        FileExistsError: `folder` is there and is something else; nothing in it is touched.
    """
    folder = Path(folder)
    if _is_built(folder, seed):
        return folder
    _refuse_what_is_not_ours(folder, seed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        draft = Path(scratch) / "checkpoint"  # a folder of its own: the scratch is private (0700)
        draft.mkdir()
        _write(draft, seed)
        try:
            draft.rename(folder)
        except OSError:
            if not _is_built(folder, seed):  # otherwise another process was quicker
                raise
    return folder


def _stamp(seed: int) -> dict[str, int]:
    return {"recipe": _RECIPE, "seed": seed}


def _is_built(folder: Path, seed: int) -> bool:
    try:
        return bool(json.loads((folder / _MARKER).read_text("utf-8")) == _stamp(seed))
    except (OSError, ValueError):
        return False


def _refuse_what_is_not_ours(folder: Path, seed: int) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FileExistsError(f"{folder} is not a folder: choose another place")
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(
            f"{folder} holds something other than the tiny checkpoint of seed {seed}: "
            "remove it or choose another folder"
        )


def _write(folder: Path, seed: int) -> None:
    from safetensors.torch import save
    from transformers import GenerationConfig

    from ugc_models.testing.tiny_tokenizer import (
        END_OF_TEXT,
        END_OF_TURN,
        make_processor,
        train_tokenizer,
    )
    from ugc_models.testing.tiny_weights import make_config, make_thinker_config, make_weights

    tokenizer = train_tokenizer()
    thinker = make_thinker_config(tokenizer)
    weights = make_weights(thinker, tokenizer, seed)
    # not save_file: its files are private to their owner, whatever the umask says
    (folder / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))
    make_processor(tokenizer).save_pretrained(folder)
    pad = tokenizer.token_to_id(END_OF_TEXT)
    GenerationConfig(
        do_sample=False, eos_token_id=[tokenizer.token_to_id(END_OF_TURN), pad], pad_token_id=pad
    ).save_pretrained(folder)
    _write_json(folder / "config.json", make_config(thinker))
    _write_json(folder / _MARKER, _stamp(seed))


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ugc_models.testing.tiny_omni",
        description="Write a Qwen2.5-Omni checkpoint of about 1 MB with random weights, which "
        "vLLM and transformers load like the real one. For tests and trials.",
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
