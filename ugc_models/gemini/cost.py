"""What requests to the Gemini API cost, and a budget that is never passed.

Before a request is sent, the most that it can cost is set aside: its prompt, which the API counts
without charge, and the longest answer that it may give. What it did cost takes that place when its
reply comes. A request for which there is no room waits for those under way; if there are none, the
run ends. Nobody tells what a request cost that was cut off: it counts as the most it could.
"""

from __future__ import annotations

import re
import threading
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from ugc_models.engine.base import EngineStopped

_UNSEEN, _SEEN = 4.0, 1.05
"""What a prompt may have more than was counted: before a reply has told, and after."""
_ROUNDING = 1e-9  # US dollars
_MOST = 1 << 50  # of any count of tokens

# For what is said before a run. A clip of the benchmark has 24 s on average. Source of tokens a
# second: ai.google.dev/gemini-api/docs/video-understanding, "about 300"; of an answer: recorded
# captions have 250, and Gemini 2.5 thinks about a thousand.
_CLIP_S, _TOKENS_A_SECOND, _SOUND_A_SECOND, _ANSWER = 24, 258, 32, 1_250


@dataclass(frozen=True)
class Tokens:
    """Of one reply; what the API does not tell is None."""

    prompt: int | None = None
    output: int | None = None  # of the text
    thoughts: int | None = None
    audio: int | None = None  # of the prompt's

    @classmethod
    def of(cls, usage: Any) -> Tokens:
        """Return what the ``usage_metadata`` of a reply tells."""
        if usage is None:
            return cls()
        audio = None
        if details := usage.prompt_tokens_details:
            audio = sum(
                _count(each.token_count) or 0
                for each in details
                if getattr(each.modality, "value", None) == "AUDIO"
            )
        return cls(
            _count(usage.prompt_token_count),
            _count(usage.candidates_token_count),
            _count(usage.thoughts_token_count),
            audio,
        )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < _MOST else None


@dataclass(frozen=True)
class Price:
    """Of one model, in US dollars a million tokens, and from when that is known."""

    input: float
    output: float
    answer: int  # tokens of an answer at most, thoughts included
    as_of: str
    audio: float | None = None
    long: Mapping[str, float] = field(default_factory=dict)
    shutdown: str | None = None

    def usd(self, tokens: Tokens) -> float:
        """Return what a request cost."""
        prompt, audio = tokens.prompt or 0, min(tokens.audio or 0, tokens.prompt or 0)
        input_, output = self.input, self.output
        if self.long and prompt > self.long["above"]:
            input_, output = self.long["input"], self.long["output"]
        heard = max(input_, self.audio or 0.0)
        answer = (tokens.output or 0) + (tokens.thoughts or 0)
        return ((prompt - audio) * input_ + audio * heard + answer * output) / 1e6

    def __str__(self) -> str:
        """Return it as messages state it."""
        sound = "" if self.audio is None else f" (${self.audio:g} of sound)"
        return (
            f"${self.input:g} a million tokens in{sound}, ${self.output:g} out, thoughts included, "
            f"as of {self.as_of}"
        )


@cache
def _prices() -> dict[str, Price]:
    table = tomllib.loads(resources.files(__package__).joinpath("prices.toml").read_text("utf-8"))
    return {name: Price(as_of=table["as_of"], **known) for name, known in table["models"].items()}


def price_of(model: str) -> Price | None:
    """Return what a model costs; None where the table does not have it."""
    name = re.sub(r"-\d{3}$", "", model.removeprefix("models/"))
    return _prices().get(name)


class Meter:
    """Counts what replies cost, and keeps them within ``budget`` US dollars. For several threads.

    ``limit``: tokens of an answer at most, where requests state that.

    Raises:
        ValueError: a budget, and no known price.
    """

    def __init__(
        self, model: str, *, budget: float | None = None, limit: int | None = None
    ) -> None:
        self.price, self.budget = price_of(model), budget
        if budget is not None and self.price is None:
            raise ValueError(
                f"budget={budget:g}: what {model} costs is not known here (known are "
                f"{', '.join(_prices())}): leave budget= out, and look at the provider's own limits"
            )
        self._model, self._limit = model, limit
        self._room = threading.Condition()
        self._open, self._aside, self.spent = 0, 0.0, 0.0
        self._excess: float | None = None  # the API's count of a prompt by its forecast, at most
        self._counts: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()

    def forecast(self, requests: int) -> str:
        """Return what is said before a run."""
        if self.price is None:
            return f"what {requests:,} requests to {self._model} cost is not known here"
        tokens = Tokens(
            _CLIP_S * (_TOKENS_A_SECOND + _SOUND_A_SECOND), _ANSWER, 0, _CLIP_S * _SOUND_A_SECOND
        )
        each = self.price.usd(tokens)
        said = (
            f"{requests:,} requests to {self._model}: about ${requests * each:.2f} if none is "
            f"stored and each shows a clip of {_CLIP_S} s ({self.price})"
        )
        if self.budget is not None:
            said += f"; the budget is ${self.budget:g}"
        return said

    @contextmanager
    def reserve(self, counted: int | None) -> Iterator[Reservation]:
        """Set aside what a request with a prompt of so many tokens can cost, once there is room.

        Raises ``EngineStopped`` where there will be none.
        """
        held = Reservation()
        if self.budget is not None and counted is not None:
            self._set_aside(held, counted)
        try:
            yield held
        finally:
            with self._room:
                self.spent += held.most if held.usd is None else held.usd
                if held.open:
                    self._aside -= held.most
                    self._open -= 1
                self._room.notify_all()

    def _set_aside(self, held: Reservation, counted: int) -> None:
        price, budget = self.price, self.budget
        if price is None or budget is None:
            return
        with self._room:
            while True:
                factor = _UNSEEN if self._excess is None else self._excess * _SEEN
                prompt = round(counted * factor)
                longest = min(self._limit or price.answer, price.answer)
                held.most, held.counted = price.usd(Tokens(prompt, longest, 0, prompt)), counted
                fits = self.spent + self._aside + held.most <= budget + _ROUNDING
                # Before a reply tells how well prompts are counted, one goes at a time.
                if fits and not (self._open and self._excess is None):
                    break
                if not self._open:
                    raise EngineStopped(
                        f"the budget of ${budget:g} is reached: ${self.spent:.4f} are spent and "
                        f"the next answer can cost ${held.most:.4f} (max_output_tokens= bounds it)"
                    )
                self._room.wait(1.0)
            self._aside += held.most
            self._open += 1
            held.open = True

    def note(self, held: Reservation, tokens: Tokens, version: str | None) -> float | None:
        """Count a reply; return what it cost in US dollars, None where that is not known."""
        with self._room:
            self._versions[version or "not told"] += 1
            self._counts.update(
                replies=1,
                prompt_tokens=tokens.prompt or 0,
                audio_tokens=tokens.audio or 0,
                output_tokens=tokens.output or 0,
                thought_tokens=tokens.thoughts or 0,
            )
            if tokens.prompt is not None and held.counted:
                self._excess = max(self._excess or 1.0, tokens.prompt / held.counted)
            if self.price is None or tokens.prompt is None:
                return None
            held.usd = self.price.usd(tokens)
            return held.usd

    def facts(self) -> dict[str, Any]:
        """Return what was spent, for the results."""
        usd = None if self.price is None else round(self.spent, 6)
        priced = {} if self.price is None else {"price": str(self.price)}
        return {**self._counts, "usd": usd, **priced, "versions": dict(self._versions)}

    def add(self, facts: Mapping[str, Any]) -> None:
        """Add what another rank spent."""
        self._versions.update(facts["versions"])
        self._counts.update({k: v for k, v in facts.items() if k.endswith(("tokens", "replies"))})
        self.spent += facts["usd"] or 0.0

    def __str__(self) -> str:
        """Return what was spent, in one sentence."""
        n = self._counts
        cost = "a cost that is not known here" if self.price is None else f"${self.spent:.4f}"
        return (
            f"{self._model}: {n['replies']:,} replies for {cost} ({n['prompt_tokens']:,} tokens "
            f"in, {n['output_tokens']:,} out and {n['thought_tokens']:,} of thoughts), answered by "
            f"{', '.join(sorted(self._versions)) or 'nobody'}"
        )


@dataclass
class Reservation:
    """What is set aside for a request; ``usd`` is what it has cost, None where nobody tells."""

    usd: float | None = None
    most: float = 0.0
    counted: int = 0  # tokens of its prompt, as forecast
    open: bool = False
