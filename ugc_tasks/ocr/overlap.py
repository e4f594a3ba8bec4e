"""The overlap of an OCR answer with the reference: the published column, 0-1 for each clip.

The measures are clipped unigram precision (BLEU-1 without brevity penalty) over case-insensitive
ASCII words, and the F-measures of ROUGE-1, -2 and -L with stemming, by the ``rouge-score`` library.
A clip's score is the mean of the four.

Models were asked for ``{"ocr": [text, ...]}`` and gave that, lists, JSON in fences, broken JSON and
prose. A published figure comes from one or the other of two scripts (``results/ocr`` in the
authors' repository) that read such answers differently:

``score`` (their ``gemini.py``)
    An answer that is no readable list counts as it stands, without its JSON marks. Nothing is left
    out: an empty answer has no overlap. Punctuation is taken out of the answer, not of the
    reference.
``skip`` (their ``eval2.py``)
    In an answer that is no readable JSON, only passages in double quotes count. An answer without
    any text list is left out of the means. Punctuation is taken out on both sides.

Where their scripts would fail (an item that is no text, ``null``) the answer is read sensibly
instead: numbers are texts, everything else in a list is passed over, ``null`` is an empty answer.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from statistics import fmean
from typing import Any

from ugc_tasks.benchmark import OCR_QUESTION, SPECS
from ugc_tasks.data.questions import ocr_reference, read_ocr_questions
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.pairing import pair
from ugc_tasks.results.rows import row
from ugc_tasks.results.scoring import Mode, Report, SavedRun, means

MAX_CHARS = 32_768
"""Of a longer answer, the text beyond is not compared: ROUGE-L takes time and memory by its length.
Recorded answers that repeat themselves to the token limit have hundreds of thousands; where one is
cut here, its overlap is under 0.02 instead of under 0.01, and no published figure changes."""

MEASURES = ("unigram_precision", "rouge1", "rouge2", "rougeL")
_DEPTH = 4
_WORD = re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z0-9]+)?")


def ocr_overlap(prediction: Any, reference: Sequence[str], mode: Mode) -> dict[str, float] | None:
    """Return how an OCR answer overlaps with the reference; None where ``skip`` leaves it out."""
    text = prediction_text(prediction, mode)
    return None if text is None else overlap(text, reference_text(reference, mode))


def overlap(prediction: str, reference: str) -> dict[str, float]:
    """Return ``score``, the mean of the four measures of prepared texts, and these, on 0-1."""
    rouge = _scorer().score(reference, prediction)
    found = {name: float(rouge[name].fmeasure) for name in MEASURES[1:]}
    found = {MEASURES[0]: unigram_precision(prediction, reference), **found}
    return {"score": fmean(found.values()), **found}


def unigram_precision(prediction: str, reference: str) -> float:
    """Return the share of the prediction's words that the reference has, each as often as there."""
    words = Counter(_WORD.findall(prediction))
    if not words:
        return 0.0
    return (words & Counter(_WORD.findall(reference))).total() / words.total()


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(MEASURES[1:]), use_stemmer=True)


def score(run: SavedRun) -> Report:
    """Return the mean overlap ``ocr`` and its four measures, each on 0-100.

    The authors' recorded files have the reference in each row. It is used if no annotation file is
    here, so that scoring such a file needs no download. Clips that the file does not mention are
    unknown then.
    """
    name, notes, sha256 = SPECS[run.task].annotations, [], None
    saved = run.answers.answers.items()
    own = not run.answers.unnamed and all(each.reference is not None for _, each in saved)
    if own and not run.has_annotation(name):
        at, source = run.answers.path, "the answers' own file"
        references = {i: ocr_reference(each.reference, f"{at}: {i}") for i, each in saved}
        notes.append(f"compared with the references in {at} itself; --references names others")
    else:
        path, source = run.annotation(name)
        questions = read_ocr_questions(path, OCR_QUESTION)
        references = dict(questions.references)
        sha256 = questions.sha256
    pairing = pair(run.answers, references, run.task)
    items = [
        ocr_row(i, answer, references[i], run.mode, clip=None, wanted=len(references))
        for i, answer in pairing.answers.items()
    ]
    scored = [item for item in items if item["n"] is not None]
    metrics, ci95 = means({name: [i[name] for i in scored] for name in ("ocr", *MEASURES)})
    skipped = sum(item["skipped"] is not None for item in items)
    if skipped:
        notes.append(f"{skipped} answers without a list of texts are left out (--mode skip)")
    facts = {
        "mode": run.mode,
        "skipped": skipped,
        "references": source,
        "references_sha256": sha256,
    }
    return Report(pairing, items, len(scored), metrics, ci95, facts, notes)


def ocr_row(
    video_id: str, answer: ModelAnswer, reference: Sequence[str], mode: Mode, **more: Any
) -> dict[str, Any]:
    """Return the row of a clip: the overlap with its reference, or why there is none.

    ``more`` is as for ``results.rows.row``.
    """
    found = None if answer.failure else ocr_overlap(answer.text, reference, mode)
    figures: dict[str, float | None] = {
        name: None if found is None else 100 * found[key]
        for name, key in zip(("ocr", *MEASURES), ("score", *MEASURES), strict=True)
    }
    lacks = None if found or answer.failure else "no list of texts in the answer"
    return {
        **row("ocr", video_id, answer, figures, reference=list(reference), **more),
        "mode": mode,
        "skipped": lacks,
    }


def prediction_text(prediction: Any, mode: Mode) -> str | None:
    """Return the text to compare for an answer, JSON or not; None where ``skip`` leaves it out."""
    prediction = "" if prediction is None else prediction
    items = _listed(prediction, _DEPTH)
    if mode == "score":
        text = _as_text(prediction) if items is None else " ".join(items)
        return _without_marks(text)[:MAX_CHARS]
    if items is None:
        decoded = _decoded(prediction) if isinstance(prediction, str) else prediction
        # Readable JSON of another form: their script compares it as it is printed.
        quoted = isinstance(decoded, str)
        items = re.findall(r'"([^"]+)"', decoded) if quoted else [_as_text(decoded)]
    return " ".join(map(_without_punctuation, items))[:MAX_CHARS] if items else None


def reference_text(reference: Sequence[str], mode: Mode) -> str:
    """Return the text that answers are compared with."""
    if mode == "score":
        return " ".join(reference).lower()
    return " ".join(map(_without_punctuation, reference))


def _listed(value: Any, depth: int) -> list[str] | None:
    """Return the texts of an answer that is a list or JSON with one; None where it is neither."""
    if isinstance(value, list):
        usable = [i for i in value if isinstance(i, str | int | float) and not isinstance(i, bool)]
        return list(map(str, usable))
    if depth == 0:
        return None
    if isinstance(value, dict) and "ocr" in value:
        inner = value["ocr"]
        listed = _listed(inner, depth - 1)
        return [inner] if listed is None and isinstance(inner, str) else listed
    if isinstance(value, str):
        decoded = _decoded(value)
        return _listed(decoded, depth - 1) if isinstance(decoded, dict | list) else None
    return None


def _decoded(text: str) -> Any:
    """Return the value of JSON, in a fence or not; of other texts, the text itself."""
    text = text.strip()
    text = text.removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""


def _without_marks(text: str) -> str:
    """Lower the case and keep words, digits and apostrophes; JSON marks and field name go too."""
    text = text.lower().replace("\\n", " ").replace("```json", "").replace("```", "")
    text = re.sub(r"\bocr\b\s*:", "", re.sub(r'[\\"\[\]{}]', "", text))
    return " ".join(re.sub(r"[^\w\s']", "", text).split())


def _without_punctuation(text: str) -> str:
    """Lower the case and keep words, digits, apostrophes and double quotes."""
    text = re.sub(r"\\[nt]", " ", text.lower())
    return " ".join(re.sub(r"[^\w\s'\"]", "", text).split())
