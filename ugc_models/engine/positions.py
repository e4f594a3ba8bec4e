"""Give vLLM's models transformers' token order, positions and embeddings.

Where Qwen2.5-Omni interleaves sound, vLLM (read in 0.26 to 0.33) differs from the reference:

* positions: it counts ``<|audio_bos|>`` as the first token of the picture. In the reference the two
  begin marks share a position, and so do the two end marks;
* token order: where frames are more than a chunk (two seconds) apart it skips the empty chunks, the
  reference does not (:func:`ugc_models.engine.interleave.chunk_bounds`). Thirty-two frames over a
  clip longer than 31 seconds are such a case;
* embeddings: a prompt that is computed in pieces (chunked prefill, vLLM's default on a GPU) may
  have a piece of sound and then picture, and nothing else. vLLM does not take that piece for
  interleaved, and puts the picture's embeddings where the sound belongs.

With Qwen3-Omni it differs in the last, and in four more:

* token order: it computes in single precision, the reference in double. The results differ where
  frame and sound fall on the same position (at 13 frames a second, say);
* positions: it rounds them down before it merges picture and sound, so that a patch of the picture
  may get a position of the sound (:func:`ugc_models.engine.interleave.merged_prompt_positions`),
  and goes on after the highest position, not after the last tokens;
* positions are whole numbers, those of the reference are not. This cannot be corrected here: unless
  26 / fps is a whole number (1, 2, 6.5, 13 or 26 frames a second), a frame lies up to 1/13 second
  earlier than in transformers. Nothing else differs then;
* sound of less than a second: its tokens depend on the longest sound that is encoded together with
  it, in transformers one of the same request, in vLLM one of any request in flight.

In both, a request with several media has two more:

* rates: all videos get the rate of the first. (So they do from transformers' processor; its model
  takes one for each, and so do we.)
* audio: it refuses one beside a video whose sound is interleaved, and pairs the first sounds with
  the videos, in whatever order they are in the prompt.

With Gemma-3n, which has neither videos nor positions of its own:

* embeddings: ``<end_of_image>`` and ``<end_of_audio>`` get those of the text's table. In the
  reference they are tokens of the vision and the audio tower, which have a table and a projection;
* sounds that are encoded together, of several requests too, are padded to the longest of them, and
  the end of a shorter one is another then.

All of these change what the model writes. :func:`install` replaces the functions
(``corrections.py``). It is registered in vLLM's own entry-point group ``vllm.general_plugins``,
which every process of an engine loads: the caller's, the engine core's, each worker's, and ``vllm
serve``. A function is replaced where its source is one that was read and found to be wrong,
whatever the release; one of unknown source stays. ``UGC_OMNI_POSITIONS=native`` keeps all of
vLLM's own for comparison.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import textwrap
from functools import cache
from typing import Any, Literal

from ugc_models.engine.base import logger
from ugc_models.engine.corrections import CORRECTIONS, Correction
from ugc_models.engine.process import allow_plugin

Status = Literal["corrected", "native", "unverified"]

KNOWN = {
    # Qwen2.5-Omni, and the last of both families
    "e1a2608429175678": "get_mrope_input_positions of 0.26 to 0.33",
    "74efd081b3acfb83": "omni_get_updates_use_audio_in_video of 0.26 to 0.33",
    "e1f1db08e9119d4c": "_maybe_apply_prompt_updates of 0.31 to 0.33",
    "9bb8c2730585feb0": "_postprocess_hf_mm_data of 0.31 to 0.33",
    "851030ed5218f7f2": "check_interleaved_audio_video of 0.26 to 0.33",
    # Qwen3-Omni
    "ae60312cae5673e4": "get_mrope_input_positions of 0.32 and 0.33",
    "0acf5aeef11bec23": "_maybe_apply_prompt_updates of 0.31 to 0.33",
    "9be942a6b8de8a62": "_postprocess_hf_mm_data of 0.31 to 0.33",
    "016397e7ee498f75": "_process_audio_input of 0.26 to 0.28",
    "13cd3e1267518e46": "_process_audio_input of 0.29",
    "cdcbd1c27e7c5aeb": "_process_audio_input of 0.30 to 0.33",
    # Gemma-3n
    "024599e188bff0b1": "embed_input_ids of 0.32 and 0.33",
    "95cf1cd76632e43c": "_process_audio_input of 0.32 and 0.33",
}
"""Digests of functions of vLLM that were read and found to be wrong, and the releases they are in.

``python -m benchmarks.upstream`` prints those of an installed vLLM.
"""
SWITCH = "UGC_OMNI_POSITIONS"
"""Environment variable: ``native`` keeps vLLM's own."""
PLUGIN = "ugc_omni_positions"
"""Name of :func:`install` among vLLM's plugins."""

_log = logger(__name__)


def install() -> None:
    """Correct vLLM's models in this process. Idempotent; never raises (vLLM calls it)."""
    if _switched_off():
        return
    for family, corrections in CORRECTIONS.items():
        try:
            for correction in corrections:
                if is_known(correction):
                    correction.install()
            # It is not known here which model will run: the results of one that does say more.
            if unknown := unknown_functions(family):
                _log.info(
                    "vLLM %s has another %s of %s than was read: its own stays, and the model may "
                    "write other words than with transformers.",
                    *(_vllm_version(), ", ".join(unknown), family),
                )
        except Exception:
            # vLLM loads this for every model, also where it has none of these.
            _log.exception("What %s does otherwise could not be corrected in this vLLM.", family)


def require(family: str) -> None:
    """Correct this process, and see that the engine's processes will; call it before they start.

    Where ``VLLM_PLUGINS`` is set, vLLM loads only the plugins that it names.
    """
    install()
    allow_plugin(PLUGIN)
    if status(family) == "unverified":
        _log.warning(
            "The engine is %s; it may write other words than transformers", engine_words(family)
        )


def _switched_off() -> bool:
    return os.environ.get(SWITCH, "").lower() == "native"


def unknown_functions(family: str) -> list[str]:
    """Return the functions that would be replaced and are others than those that were read."""
    return [each.name for each in _unknown(family)]


def _unknown(family: str) -> list[Correction]:
    return [each for each in CORRECTIONS[family] if not is_known(each)]


def is_known(correction: Correction) -> bool:
    """Whether vLLM's function is one that was found to be wrong."""
    try:
        _, original = correction.place()
        return digest(original) in KNOWN
    except (ImportError, AttributeError, OSError):  # gone, or without source
        return False


@cache
def digest(function: Any) -> str:
    """Return what a function does, whatever its formatting, comments, types and docstring."""
    source = inspect.getsource(inspect.unwrap(getattr(function, "__func__", function)))
    return digest_of(ast.parse(textwrap.dedent(source)).body[0])


def digest_of(tree: ast.AST) -> str:
    """Return the digest of a function's syntax tree."""
    return hashlib.sha256(repr(_shape(tree)).encode()).hexdigest()[:16]


def _shape(node: Any) -> Any:
    # Not ast.dump, whose text is another in each Python.
    if isinstance(node, list):
        return [_shape(each) for each in node if not _is_comment(each)]
    if not isinstance(node, ast.AST):
        return repr(node)
    skipped = ("annotation", "returns", "type_comment", "type_params", "kind", "ctx")
    kept = ((n, v) for n, v in ast.iter_fields(node) if n not in skipped and v not in (None, []))
    return [type(node).__name__, *((name, _shape(value)) for name, value in kept)]


def _is_comment(node: Any) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def status(family: str = "qwen2_5_omni") -> Status:
    """Return which positions an engine started here uses; ``family`` is a ``model_type``."""
    if _switched_off():
        return "native"
    lone = [each for each in _unknown(family) if not each.several]
    return "unverified" if lone else "corrected"


def engine_words(family: str = "qwen2_5_omni") -> str:
    """Return the engine's version and the kind of its positions, for the results of a run."""
    # Qwen3's positions in time are fractions in transformers and whole numbers in vLLM.
    rounding = ", rounded down" if family == "qwen3_omni_moe" else ""
    unknown = [] if _switched_off() else unknown_functions(family)
    own = f" (vLLM's own {', '.join(unknown)})" if unknown else ""
    what = "embeddings" if family == "gemma3n" else "positions"
    return f"vllm {_vllm_version()} {status(family)} {what}{rounding}{own}"


def _vllm_version() -> str:
    # Not importlib.metadata: the CPU build of the tests is distributed under another name.
    from vllm import __version__

    return str(__version__)
