"""A bridge in use: ``bridge.json`` read, and the figures of runs restated by it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ugc_tasks.bridge.fit import FIGURES
from ugc_tasks.bridge.line import Both, Line
from ugc_tasks.common.files import DataError, read_values
from ugc_tasks.data.published import NO_REFERENCE, published_judge
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.results.reliability import HIGHEST, mean_interval, stated
from ugc_tasks.results.scores import ClipScores, ScoreFile

SCHEMA = 2
KIND = "ugc-videocap bridge"
UNNAMED = "not named"
_FEWEST_BOTH = 20
_LABEL = re.compile("([^/]+)/(.+)/([0-9a-f]{12})(?:@.*)?")  # profile, model, prompt, endpoint


def label_of(scores: ScoreFile) -> str | None:
    """Return the label of a file's judge; of the authors' own files, of theirs."""
    return (scores.judge if scores.judge != UNNAMED else None) or published_judge(scores.path)


def parts_of(label: str | None) -> dict[str, str | None]:
    """Return a judge's label as ``label``, ``model``, ``profile`` and ``prompt_sha256`` (begin)."""
    parts = _LABEL.fullmatch(label or "")
    profile, model, prompt = parts.groups() if parts else (None, label, None)
    return {"label": label, "model": model, "profile": profile, "prompt_sha256": prompt}


@dataclass(frozen=True)
class Bridge:
    """A bridge as it is read: ``line`` is None where there is none."""

    path: Path
    source: Mapping[str, str | None]
    target: Mapping[str, str | None]
    verdict: str
    models: Sequence[str]
    line: Line | None

    @property
    def name(self) -> str:
        """How bridged figures are named: never by the old judge alone."""
        names = [str(side["label"] or "a judge not named") for side in (self.source, self.target)]
        return f"bridged from {names[0]} to {names[1]}"

    @property
    def usable(self) -> bool:
        return self.verdict == "levels" and self.line is not None

    @property
    def why_not(self) -> str:
        """Why it gives no figures, a sentence; empty where it does."""
        if self.usable:
            return ""
        why = {
            "ranks": "only the order of models carries over; with --both, clips of this run that "
            "the old judge scored too, there is one"
        }
        return f"no bridged figure: {self.path.name} is {self.verdict!r}, " + why.get(
            self.verdict, "the two judges do not go together"
        )

    def check(self, scores: ScoreFile) -> None:
        """Raise ``DataError`` where a run's judge is not the one that the bridge is from."""
        if scores.task != "caption" or scores.estimate:
            raise DataError(f"--bridge: {scores.path} is no judge's score of captions")
        self.check_label(label_of(scores), scores.path)

    def check_label(self, label: str | None, of: object) -> None:
        if label != (wanted := self.source["label"]):
            raise DataError(
                f"--bridge: {self.path} is from {wanted or 'a judge that is not named'}, the judge "
                f"of {of} is {label or 'not named'}: profile, model and prompt have to be the same"
            )

    def restate(self, scores: ScoreFile, both: ScoreFile | None = None) -> dict[str, Any] | None:
        """Return ``bridged`` of a run (``docs/judges.md``); None where there is no figure.

        ``both``: the old judge's scores of some clips of the same run, drawn at random.
        """
        self.check(scores)
        return self.restate_clips(scores.clips, both)

    def restate_clips(
        self, scored: Mapping[str, ClipScores], both: ScoreFile | None = None
    ) -> dict[str, Any] | None:
        known = {} if both is None else self._known(scored, both)
        if (
            self.line is None
            or not scored
            or not (self.usable or (known and self.verdict == "ranks"))
        ):
            return None
        clips = scores_array(scored.values())
        means, correction = clips.mean(0), None
        if known:
            places = [place for place, i in enumerate(scored) if i in known]
            old = scores_array(known[i] for i in scored if i in known)
            correction = Both.of(clips, np.array(places), old)
        values, half = self.line.restate(means, len(scored), correction)
        from scipy.special import stdtrit

        sampled = math.inf
        if len(scored) > 1:
            sampled = float(stdtrit(len(scored) - 1, 0.975)) / math.sqrt(len(scored))
        whole = np.hypot(half, sampled * np.sqrt(self.line.spread))
        bounds = {
            name: {
                figure: [max(0.0, value - h), min(HIGHEST, value + h)]
                for figure, value, h in zip(FIGURES, values.tolist(), widths.tolist(), strict=True)
            }
            for name, widths in (("ci95", whole), ("same_answers95", half))
        }
        low, high = self.line.new.min(0), self.line.new.max(0)
        outside = [
            d for d, x, a, b in zip(DIMENSIONS, means, low, high, strict=True) if not a <= x <= b
        ]
        return {
            **dict(zip(FIGURES, values.tolist(), strict=True)),
            **bounds,
            "name": self.name,
            "outside": outside,
            "both": len(known),
        }

    def _known(self, scored: Mapping[str, ClipScores], both: ScoreFile) -> dict[str, ClipScores]:
        """Return the old judge's scores of clips of a run; raises ``DataError``."""
        label = label_of(both)
        if both.task != "caption" or both.estimate or label not in (None, self.target["label"]):
            raise DataError(
                f"--both: {both.path} is to have scores of captions by {self.target['label']}, the "
                f"judge that {self.path} is to, not by {label or 'an estimate'}"
            )
        known = {i: clip for i, clip in both.clips.items() if i in scored}
        if len(known) < _FEWEST_BOTH:
            raise DataError(
                f"--both: {both.path} has scores of {len(known)} clips of this run; at least "
                f"{_FEWEST_BOTH}, drawn at random, tell something"
            )
        return known

    def said(self, bridged: Mapping[str, Any] | None) -> str:
        """Return bridged figures, or why there are none, as a line for a person."""
        if bridged is None:
            return self.why_not or "no bridged figure: no clip has a score"
        figures = [f"{name} {stated(bridged[name], bridged['ci95'][name])}" for name in FIGURES]
        outside = ", ".join(bridged["outside"])
        warned = f"; {outside} outside of what the bridge was measured on" if outside else ""
        if bridged["both"]:
            warned += f"; with the old judge's own scores of {bridged['both']} of the clips"
        return f"{self.name}: {'   '.join(figures)}{warned}"


def scores_array(clips: Iterable[ClipScores]) -> Any:
    """Return clips x dimensions."""
    return np.array([[clip[d] for d in DIMENSIONS] for clip in clips])


def bridged_difference(bridge: Bridge, new: ScoreFile, old: ScoreFile) -> dict[str, Any]:
    """Return how two runs differ on the old judge's scale, over the clips that both have.

    Each may be judged by either judge of the bridge; ``DataError`` where one is by another.
    ``difference`` and ``ci95`` are None where there is none; ``said`` is a sentence.
    """
    restated: list[bool] = []
    for run in (new, old):
        of_old = label_of(run) == bridge.target["label"] is not None
        if not of_old:
            bridge.check(run)
        restated.append(not of_old)
    found: dict[str, Any] = {"name": bridge.name, "difference": None, "ci95": None}
    found |= {
        side: bridge.restate(run) if is_new else None
        for side, run, is_new in zip(("new", "old"), (new, old), restated, strict=True)
    }
    shared = [i for i in new.clips if i in old.clips and i not in NO_REFERENCE]
    if not any(restated):
        return {**found, "said": "both were judged by the old judge: nothing to restate"}
    if not bridge.usable or bridge.line is None or len(shared) < 2:
        return {**found, "said": bridge.why_not or f"they share {len(shared)} clips with a score"}
    sides, errors = [], []
    for run, is_new in zip((new, old), restated, strict=True):
        clips = scores_array(run.clips[i] for i in shared)
        if is_new:
            errors.append(bridge.line.restate(clips.mean(0), len(shared))[1][3])
            there, steep = bridge.line.place(clips.mean(0))
            clips = there + steep * (clips - clips.mean(0))
        sides.append(clips.mean(1))
    mean, pair = mean_interval((sides[0] - sides[1]).tolist())
    half = math.hypot(*errors, (pair[1] - pair[0]) / 2 if pair else 0.0)
    ci95 = [mean - half, mean + half]
    certain = ci95[0] * ci95[1] > 0
    verdict = ("better" if mean > 0 else "worse") if certain else "not distinguishable"
    said = f"{verdict}, {mean:+.1f} [{ci95[0]:+.1f}, {ci95[1]:+.1f}] ({bridge.name})"
    return {**found, "difference": mean, "ci95": ci95, "verdict": verdict, "said": said}


def read_bridge(path: Path) -> Bridge:
    """Read a ``bridge.json``; raises ``DataError``."""
    content = read_values(path)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise DataError(f"{path}: is no bridge: `ugc-videocap bridge fit` makes one")
    if content.get("schema") != SCHEMA:
        raise DataError(
            f"{path}: is of another version than {SCHEMA}: make it anew with bridge fit"
        )
    try:
        line = content["line"]
        made = None
        if line is not None:
            names = ("from_means", "to_means", "n", "variance_of_noise", "variance_of_clips")
            low_new, low_old = map(float, line["lowest"])
            if not all(0 <= low < HIGHEST for low in (low_new, low_old)):
                raise ValueError
            new, old, n, noise, spread = (np.array(line[name], float) for name in names)
            made = Line(new, old, n, noise, spread, (low_new, low_old))
            k = len(made.n)
            shapes = [(k, 3), (k, 3), (k,), (3, 3), (4,)]
            arrays = [made.new, made.old, made.n, made.noise, made.spread]
            if k < 3 or any(
                a.shape != s or not np.isfinite(a).all()
                for a, s in zip(arrays, shapes, strict=True)
            ):
                raise ValueError
        if content["verdict"] not in ("levels", "ranks", "unfit"):
            raise ValueError
        source, target = ({**parts_of(None), **content[side]} for side in ("from", "to"))
        return Bridge(path, source, target, content["verdict"], list(content["models"]), made)
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path}: is a damaged bridge: make it anew with bridge fit") from None
