"""Fit the offline estimate to published GPT-4o scores, and say how far off it is.

``python benchmarks/fit_offline.py --reference ../shared/reference`` prints, for each model, the
mean scores and the estimate made by weights fitted to the other models alone, and writes the
weights fitted to all of them to ``ugc_tasks/judge/offline_weights.json`` when ``--write`` is
given.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ugc_tasks.judge.offline import features
from ugc_tasks.judge.reply import DIMENSIONS

Matrix = npt.NDArray[np.float64]

VERSION = "v1"
# Captions and the scores they got, as the reference folder's README pairs them.
MODELS = {
    "Qwen2.5-Omni-3B": ("omni_baseline.jsonl", "omni_baseline_4o.json"),
    "UGC-VideoCaptioner-3B": ("UGC_VideoCaptioner_inference.jsonl", "UGC_Videocaptioner_4o.json"),
    "Gemini-2.5-flash": ("gemini_2.5_flash.jsonl", "gemini_2.5_flash_4o.json"),
    "MiniCPM-o-2.6": ("minicpm_captions.jsonl", "minicpm_4o.json"),
}


@dataclass(frozen=True)
class Judged:
    """One model's clips: features [clips, features] and scores [clips, dimensions]."""

    measured: Matrix
    scores: Matrix


def read_model(reference: Path, captions: str, scores: str) -> tuple[list[str], Judged]:
    """Return the feature names and the clips that have a caption, a reference and real scores."""
    questions = json.loads((reference / "questions" / "final_caption_qa.json").read_text())
    references = {sample["video_id"]: sample["answer"] for sample in questions["samples"]}
    given = json.loads((reference / "scores" / scores).read_text())["evaluations"]
    names: list[str] = []
    measured, judged = [], []
    for line in (reference / "captions" / captions).read_text().splitlines():
        row = json.loads(line)
        score = given.get(row["video_id"])
        answer = references.get(row["video_id"])
        values = [score[f"{name}_score"] for name in DIMENSIONS] if score else []
        # The authors recorded failed requests as 0: those are no judgments.
        if not row.get("caption") or not answer or not values or min(values) < 1:
            continue
        found = features(row["caption"], answer)
        names = list(found)
        measured.append(list(found.values()))
        judged.append(values)
    return names, Judged(np.array(measured), np.array(judged, dtype=np.float64))


def fit(parts: list[Judged], ridge: float) -> tuple[Matrix, Matrix]:
    """Return intercepts [dimensions] and coefficients [features, dimensions] by ridge regression.

    Every model counts the same, whatever number of clips it has.
    """
    inputs = np.concatenate([part.measured for part in parts])
    targets = np.concatenate([part.scores for part in parts])
    weight = np.concatenate([np.full(len(part.scores), 1 / len(part.scores)) for part in parts])
    weight = (weight / weight.sum())[:, None]
    centre, middle = (inputs * weight).sum(0), (targets * weight).sum(0)
    spread = np.sqrt((((inputs - centre) ** 2) * weight).sum(0))
    scaled = (inputs - centre) / spread
    gram = scaled.T @ (scaled * weight) + ridge * np.eye(scaled.shape[1])
    coefficients = np.linalg.solve(gram, scaled.T @ ((targets - middle) * weight)) / spread[:, None]
    return middle - centre @ coefficients, coefficients


def predict(intercepts: Matrix, coefficients: Matrix, measured: Matrix) -> Matrix:
    """Return scores [clips, dimensions] from 1 to 5."""
    return np.clip(intercepts + measured @ coefficients, 1.0, 5.0)


def report(models: dict[str, Judged], ridge: float) -> None:
    """Print each model's published and estimated means (of 100), it being left out of the fit."""
    print(f"{'left out':24}{'clips':>6}  {'judged V / A / D':22}{'estimated':22}{'off by':>7}"
          f"{'clip error':>12}{'correlation':>13}")  # fmt: skip
    errors = []
    for name, judged in models.items():
        fitted = fit([part for other, part in models.items() if other != name], ridge)
        guessed = predict(*fitted, judged.measured)
        means, estimates = 20 * judged.scores.mean(0), 20 * guessed.mean(0)
        off = float(np.abs(means - estimates).mean())
        errors.append(off)
        each = float(np.abs(judged.scores - guessed).mean())
        related = float(np.corrcoef(judged.scores.mean(1), guessed.mean(1))[0, 1])
        published = " / ".join(f"{mean:.1f}" for mean in means)
        estimated = " / ".join(f"{mean:.1f}" for mean in estimates)
        print(f"{name:24}{len(judged.scores):>6}  {published:22}{estimated:22}{off:>7.2f}"
              f"{each:>12.3f}{related:>13.3f}")  # fmt: skip
    print(f"mean error of a left-out model's columns: {np.mean(errors):.2f} points of 100")


def write(path: Path, names: list[str], intercepts: Matrix, coefficients: Matrix) -> None:
    """Write the weights, rounded to what they are good for, so that a diff can be read."""
    data: dict[str, object] = {"version": VERSION}
    for index, dimension in enumerate(DIMENSIONS):
        data[dimension] = {
            "intercept": round(float(intercepts[index]), 4),
            "coefficients": {
                name: round(float(value), 4)
                for name, value in zip(names, coefficients[:, index], strict=True)
            },
        }
    path.write_text(json.dumps(data, indent=2) + "\n")


def main() -> None:
    """Run the fit."""
    target = Path(__file__).resolve().parents[1] / "ugc_tasks/judge/offline_weights.json"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="the reference data")
    parser.add_argument("--ridge", type=float, default=0.1, help="strength of the shrinkage")
    parser.add_argument("--write", action="store_true", help=f"write {target.name}")
    arguments = parser.parse_args()

    names: list[str] = []
    models: dict[str, Judged] = {}
    for model, (captions, scores) in MODELS.items():
        names, models[model] = read_model(arguments.reference, captions, scores)
    report(models, arguments.ridge)
    if arguments.write:
        write(target, names, *fit(list(models.values()), arguments.ridge))
        print(f"wrote {target}")


if __name__ == "__main__":
    main()
