"""Scoring saved OCR answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, cast

from ugc_tasks.benchmark import SPECS
from ugc_tasks.data.ocr_references import ocr_reference, read_ocr_references
from ugc_tasks.ocr.answers import Mode
from ugc_tasks.ocr.overlap import MEASURES, Overlap, ocr_overlap
from ugc_tasks.results.pairing import pair
from ugc_tasks.results.scoring import Report, Request, failure_of, means


def score(request: Request) -> Report:
    """Return the mean overlap ``score`` and its four measures, each on 0-1."""
    references, source, notes = _references(request)
    pairing = pair(request.answers, references)
    mode = cast(Mode, request.mode)
    items: list[dict[str, Any]] = []
    overlaps: list[Overlap] = []
    failed = 0
    for video_id, saved in pairing.pairs:
        answer = saved.read(request.task)
        if answer.failure:
            items.append(failure_of(video_id, answer.failure))
            failed += 1
            continue
        overlap = ocr_overlap(answer.text, references[video_id], mode)
        if overlap is None:
            items.append({"video_id": video_id, "skipped": True})
            continue
        overlaps.append(overlap)
        items.append({"video_id": video_id, "score": overlap.score, **asdict(overlap)})
    notes = (*notes, *pairing.notes)
    names = ("score", *MEASURES)
    metrics, ci95 = means({name: [getattr(o, name) for o in overlaps] for name in names})
    skipped = len(items) - failed - len(overlaps)
    if skipped:
        notes = (*notes, f"{skipped} answers without a list of texts are left out (--mode skip)")
    return Report(
        n=len(overlaps),
        failed=failed,
        missing=pairing.missing,
        unknown=pairing.unknown,
        metrics=metrics,
        ci95=ci95,
        items=tuple(items),
        facts={"mode": mode, "skipped": skipped, "references": source},
        notes=notes,
    )


def _references(request: Request) -> tuple[dict[str, list[str]], str, tuple[str, ...]]:
    """Return the references, where they are from, and what is to be said of that.

    The authors' recorded files carry the reference in each row. Where no annotations are at hand it
    stands in for them, rather than have a download decide whether the file can be scored. That
    leaves one thing unknown: clips that the file does not mention.
    """
    name = SPECS[request.task].annotations
    rows = request.answers.answers.items()
    own = not request.answers.unnamed and all(r.reference is not None for _, r in rows)
    if own and not request.has_annotation(name):
        at = request.answers.path
        beside = {i: ocr_reference(row.reference, f"{at}: {i}") for i, row in rows}
        note = f"compared with the references in {at} itself; --references names others"
        return beside, "the answers' own file", (note,)
    path, source = request.annotation(name)
    return read_ocr_references(path), source, ()
