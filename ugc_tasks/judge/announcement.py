"""What judging will take, in one paragraph, before any of it is paid for."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from ugc_tasks.common.display import shown_line
from ugc_tasks.judge.budget import TYPICAL_REPLY
from ugc_tasks.judge.prices import Price


@dataclass(frozen=True)
class Announcement:
    """The judgments that are wanted and what they are expected to cost.

    Attributes:
        judge: its label.
        needed: judgments, each counted once.
        stored: how many of them are on disk.
        prompt_tokens: of all the others' requests together.
        how: how they were counted.
        price: None where it is not known.
        budget: US dollars that may be spent, None for no limit.
        batched: whether the others will be asked for in batches.
        repeats: judgments of each answer.
    """

    judge: str
    needed: int
    stored: int
    prompt_tokens: int
    how: str
    price: Price | None
    budget: float | None
    batched: bool
    repeats: int = 1

    @property
    def missing(self) -> int:
        """How many judgments are to be paid for."""
        return self.needed - self.stored

    @property
    def reply_tokens(self) -> int:
        """Tokens of all replies, if they are as long as such replies are."""
        return self.missing * TYPICAL_REPLY

    @property
    def usd(self) -> float | None:
        """What the missing ones are expected to cost; None where no price is known."""
        if self.price is None:
            return None
        return self.price.usd(self.prompt_tokens, self.reply_tokens, batched=self.batched)

    def __str__(self) -> str:
        """Return the paragraph."""
        each = f" ({self.repeats} of each answer)" if self.repeats > 1 else ""
        said = f"{self.judge}: {self.needed} judgments are needed{each}, {self.stored} are stored"
        if not self.missing:
            return f"{said}; nothing is to be paid for"
        said += (
            f", {self.missing} are to be asked for: about {self.prompt_tokens:,} tokens "
            f"({self.how}) and {self.reply_tokens:,} of replies"
        )
        if self.price is None or self.usd is None:
            said += "; what that costs is not known (UGC_JUDGE_PRICES can name a price table)"
        else:
            batch = f", {self.price.batch_factor:g} of it in batches" if self.batched else ""
            said += f", about ${self.usd:.2f} ({self.price}{batch})"
        if self.budget is not None:
            said += f"; the budget is ${self.budget:g}"
            if self.usd is not None and self.usd > self.budget:
                enough = int(self.missing * self.budget / self.usd)
                said += f", enough for about {enough} of them"
        return said


def tell(text: str) -> None:
    """Say something on stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(shown_line(f"judge: {text}"), file=sys.stderr)
