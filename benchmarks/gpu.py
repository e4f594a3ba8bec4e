"""Clips through the engine on a GPU, at the true size of Qwen2.5-Omni-3B: ``-m benchmarks.gpu``.

Downloads nothing: vLLM makes the weights up, the clips are generated. The lmms-eval model asked for
all clips at once, against one clip at a time, and how fast clips are read by themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.clips import clips_for_a_run
from benchmarks.pipeline import FRAMES, PACKAGES, PIXELS, ask, model_of, tiny_model
from benchmarks.report import RESULTS, Report, Row, machine

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ENGINE: dict[str, Any] = {
    "load_format": "dummy",
    "dtype": "bfloat16",
    "max_model_len": 8192,
    "gpu_memory_utilization": 0.85,
    "enable_prefix_caching": False,
    "disable_log_stats": True,
}
# Widths and depths of the thinker in Qwen/Qwen2.5-Omni-3B's config.json.
VOCABULARY = 151_936
TRUE_SIZE: dict[str, dict[str, Any]] = {
    "text_config": {
        "vocab_size": VOCABULARY,
        "hidden_size": 2048,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "intermediate_size": 11_008,
        "max_window_layers": 36,
    },
    "vision_config": {
        "hidden_size": 1280,
        "depth": 32,
        "num_heads": 16,
        "intermediate_size": 3420,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "out_hidden_size": 2048,
    },
    "audio_config": {
        "d_model": 1280,
        "encoder_layers": 32,
        "encoder_attention_heads": 20,
        "encoder_ffn_dim": 5120,
        "output_dim": 2048,
    },
}
MROPE_SECTION = [16, 24, 24]


def main(arguments: list[str] | None = None) -> Report:
    """Measure, print the table and write it into the folder ``--out``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    cores = os.cpu_count() or 1
    parser.add_argument("--tiny", action="store_true", help="in little, on the processor")
    for name, standard, what in (
        ("clips", 200, "through the pipeline"),
        ("loop", 8, "of them one by one"),
        ("tokens", 250, "of each caption"),
        ("workers", cores, "processes that decode"),
        ("in-flight", 64, "requests in the engine at once, at most"),
        ("seconds", 24, "mean length of a clip"),
    ):
        parser.add_argument(f"--{name}", type=int, default=standard, help=f"{what} (%(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder (%(default)s)")
    parser.add_argument("--engine", type=json.loads, default={}, help="vLLM's arguments, as JSON")
    options = parser.parse_args(arguments)
    files = clips_for_a_run(options.clips, options.seconds, small=options.tiny)
    decoding = decode_rate(files[: 4 * options.workers], options.workers)
    with tempfile.TemporaryDirectory(prefix="ugc-gpu-") as scratch:
        if options.tiny:
            model = tiny_model(Path(scratch))
        else:
            engine = {**ENGINE, "max_in_flight": options.in_flight, **options.engine}
            model = model_of(write_checkpoint(Path(scratch)), options.workers, **engine)
        try:
            ask(model, files[:16], options.tokens)  # what is compiled or tuned at first use
            with gpu_busy() as busy:
                ours = ask(model, files, options.tokens).rate
            with gpu_busy() as loop_busy:
                loop = ask(model, files[: options.loop], options.tokens, 1).rate
        finally:
            model.clean()
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    busy_mean, loop_mean = (
        statistics.fmean(each) if each else "no GPU was seen" for each in (busy, loop_busy)
    )
    what = "a tiny model on the processor" if options.tiny else "Qwen2.5-Omni-3B's shape"
    one = "loop: read a clip, caption it, read the next"
    return Report(
        title=f"{options.clips} clips, {FRAMES} frames, {options.tokens} tokens: {what}",
        rows=[
            Row("ours: all clips at once", "rate", ours, "clips/s", ours / loop),
            Row("ours: all clips at once", "GPU busy", busy_mean, "%"),
            Row(one, "rate", loop, "clips/s", 1.0),
            Row(one, "GPU busy", loop_mean, "%"),
            Row(f"decoding alone, {options.workers} workers", "rate", decoding, "clips/s"),
        ],
        machine=machine(PACKAGES) | {"GPU": gpu},
        notes=[
            f"The loop ran over {options.loop} clips: each takes as long as the other.",
            "The bottleneck is a GPU that is busy for 90 %; else decoding, if no faster than ours "
            "(more cores, decode_workers); else preparing requests (renderer_num_workers).",
        ],
    ).publish("gpu-tiny" if options.tiny else "gpu", options.out)


def decode_rate(files: list[Path], workers: int) -> float:
    """Return how many clips a second worker processes read, their start not counted."""
    from ugc_models.decoding.pool import DecodePool
    from ugc_models.media.sampling import Sampling
    from ugc_models.media.source import VideoFile

    sampling = Sampling(frames=FRAMES, max_pixels=PIXELS)
    with DecodePool(workers) as pool, ThreadPoolExecutor(workers) as threads:

        def read(path: Path) -> None:
            pool.read(VideoFile(path), sampling, sound=True)

        shortest = min(files, key=lambda path: path.stat().st_size)
        list(threads.map(read, [shortest] * workers))
        started = time.perf_counter()
        list(threads.map(read, files))
        return len(files) / (time.perf_counter() - started)


def write_checkpoint(folder: Path) -> Path:
    """Write all of a checkpoint of the true size but its weights; return the folder."""
    from transformers import Qwen2_5OmniThinkerConfig

    from ugc_models.testing import tiny_model

    tokenizer = _padded(tiny_model.train_tokenizer())
    config = tiny_model.make_thinker_config(tokenizer).to_dict()
    for part, sizes in TRUE_SIZE.items():
        config[part] |= sizes
    text = config["text_config"]
    text.pop("layer_types", None)  # one for each layer: made anew
    text["rope_parameters"] = {**text["rope_parameters"], "mrope_section": MROPE_SECTION}
    whole = tiny_model.make_config(Qwen2_5OmniThinkerConfig(**config))
    tiny_model.make_processor(tokenizer).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({**whole, "dtype": "bfloat16"}), "utf-8")
    return folder


def _padded(tokenizer: Tokenizer) -> Tokenizer:
    """Fill the vocabulary up with words that no text has, the special tokens still last."""
    from tokenizers import Tokenizer

    content = json.loads(tokenizer.to_str())
    vocabulary: dict[str, int] = content["model"]["vocab"]
    special = content["added_tokens"]
    for at in range(len(vocabulary), VOCABULARY - len(special)):
        vocabulary[f"<filler {at}>"] = at
    for at, token in enumerate(special, start=VOCABULARY - len(special)):
        token["id"] = at
    return Tokenizer.from_str(json.dumps(content))


@contextmanager
def gpu_busy() -> Iterator[list[float]]:
    """Fill a list with how busy the first GPU is, in per cent, five times a second; empty without.

    It is complete when the ``with`` ends.
    """
    seen: list[float] = []
    if not shutil.which("nvidia-smi"):
        yield seen
        return
    query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
    command = ["nvidia-smi", *query, "-lms", "200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        try:
            yield seen
        finally:
            watch.terminate()
            seen += [float(line) for line in watch.communicate()[0].split()]


if __name__ == "__main__":
    main()
