"""One item's way to its judgment: looked up, asked for, put on disk, handed out.

An item takes a seat (so that not all of a run are under way at once), then a claim (no other
process asks the same), then its turns at the endpoint (``tries.py``). Everything here runs in one
event loop. A refusal that would meet every request stops all asking; what is on disk is still
handed out.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections import Counter
from collections.abc import Mapping, Sequence

from ugc_tasks.common.display import logger
from ugc_tasks.judge.announcement import Announcement
from ugc_tasks.judge.batches import Batches
from ugc_tasks.judge.budget import Meter, purse_of
from ugc_tasks.judge.claims import Claims
from ugc_tasks.judge.client import ChatClient
from ugc_tasks.judge.connection import Connection
from ugc_tasks.judge.disk import Disk
from ugc_tasks.judge.failures import JudgeRefused, RequestFailed
from ugc_tasks.judge.judgment import JudgeItem, Judgment
from ugc_tasks.judge.pace import Pace
from ugc_tasks.judge.prices import Price
from ugc_tasks.judge.profiles import ChatProfile
from ugc_tasks.judge.repeats import first_of
from ugc_tasks.judge.reply import ChatReply, ReplyError, read_reply
from ugc_tasks.judge.requests import Requests
from ugc_tasks.judge.scores import Scores
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.slots import Slots
from ugc_tasks.judge.store import JudgeStoreError, StoredReply
from ugc_tasks.judge.tokens import counter_for
from ugc_tasks.judge.tries import Allowance, Backoff, Refusal, Tries
from ugc_tasks.judge.usage import Usage
from ugc_tasks.judge.witness import Witness

_CLAIM_POLL_S = 0.25
# Twice as many items as requests: those that wait to try again leave no turn unused.
_SEATS = 2

_log = logger(__name__)


class Asking:
    """The paid judge of ``profile``, with its store, its pace and its price."""

    def __init__(
        self,
        profile: ChatProfile,
        settings: JudgeSettings,
        *,
        label: str,
        price: Price | None,
        backoff: Backoff,
    ) -> None:
        """Open the store; raises ``JudgeStoreError``. Nothing is sent yet.

        ``label`` is the judge's name in the store.
        """
        self._profile = profile
        self._settings = settings
        self._label = label
        self._requests = Requests(profile, settings.endpoint)
        self._disk = Disk(settings.store, profile.question.form)
        self._store = self._disk.store
        self._claims = Claims(settings.store)
        self._witness = Witness()
        self._seats = asyncio.Semaphore(_SEATS * settings.concurrency)
        self._refusal = Refusal()
        # What batches were billed for and brought no scores of, by key, until it is asked again.
        self._unread: dict[str, Judgment] = {}
        self._meter = Meter(purse_of(settings.store, settings.budget), price)
        self._connection = Connection(settings.base_url, settings.api_key, timeout=settings.timeout)
        self._slots = Slots(Pace(settings.concurrency, longest_told=backoff.longest_told))
        self._tries = Tries(
            ChatClient(self._connection, endpoint=settings.endpoint, api_key=settings.api_key),
            endpoint=settings.endpoint,
            slots=self._slots,
            meter=self._meter,
            backoff=backoff,
            refusal=self._refusal,
            timeout=settings.timeout,
        )
        self._batches = Batches(
            self._store,
            self._claims,
            settings=settings,
            meter=self._meter,
            refusal=self._refusal,
            refuse=self._refuse,
            backoff=backoff,
        )

    def key(self, item: JudgeItem) -> str:
        """Return the key of the item's judgment: the same for items whose request is the same."""
        return self._requests.key(item)

    async def announce(self, items: Sequence[JudgeItem]) -> Announcement | None:
        """Return what judging ``items`` will take; None where nothing will be asked.

        That is where the store cannot be read.
        """
        keyed = {self.key(item): item for item in items}
        try:
            stored = await self._disk.do(lambda: self._store.scored(keyed))
        except JudgeStoreError as error:
            self._refuse(str(error))
            return None
        missing = Counter(first_of(item) for key, item in keyed.items() if key not in stored)
        if missing:
            loop = asyncio.get_running_loop()
            self._meter.counter = await loop.run_in_executor(None, counter_for, self._profile.model)
        counter = self._meter.counter
        return Announcement(
            judge=self._label,
            needed=len(keyed),
            stored=len(stored),
            prompt_tokens=await self._disk.do(
                lambda: sum(counter.request(self._requests.body(i)) * n for i, n in missing.items())
            ),
            how=counter.how,
            price=self._meter.price,
            budget=self._settings.budget,
            batched=self._settings.batch,
            repeats=self._settings.repeats,
        )

    async def begin(self, items: Sequence[JudgeItem]) -> None:
        """Begin batches of what is missing of ``items``, if there are to be some."""
        keyed = {self.key(item): item for item in items}
        try:
            stored = await self._disk.do(lambda: self._store.scored(keyed))
            wanted = {key: item for key, item in keyed.items() if key not in stored}
            bodies = {key: self._requests.body(item) for key, item in wanted.items()}
            self._batches.start(bodies, functools.partial(self._from_batch, wanted))
        except JudgeStoreError as error:
            self._refuse(str(error))

    async def judge(self, item: JudgeItem) -> Judgment:
        """Return the judgment of ``item``; a failure is in it, not raised."""
        judgment = await self._judgment(item)
        return dataclasses.replace(judgment, sanitized=self._profile.changed(item.prediction))

    async def _judgment(self, item: JudgeItem) -> Judgment:
        key = self.key(item)
        try:
            bought = await self._batches.settled(key)
            while True:
                # A seat also to look it up: the first would wait for the look-ups of all others.
                async with self._seats:
                    with self._claims.claimed(key) as mine:
                        # Only now: another process may have finished it before the claim was ours.
                        stored = await self._disk.do(lambda: self._store.first_scored(key))
                        if stored:
                            return self._from_store(item, stored, bought=bought)
                        self._refusal.check()
                        if mine:
                            await self._disk.do(self._store.require_room)
                            return await self._ask(item, key)
                await asyncio.sleep(_CLAIM_POLL_S)
        except JudgeRefused as error:
            return self._failed(item, key, str(error))
        except JudgeStoreError as error:
            self._refuse(str(error))  # what cannot be kept must not be bought
            return self._failed(item, key, str(error))

    def _failed(self, item: JudgeItem, key: str, reason: str) -> Judgment:
        """Return a failure, with what a batch was billed for."""
        unread = self._unread.pop(key, None)
        if unread is None:
            return Judgment(item.video_id, failure=reason)
        return dataclasses.replace(unread, video_id=item.video_id, failure=reason)

    @property
    def on_the_wire(self) -> int:
        """How many requests are sent and not answered."""
        return self._slots.open

    def stop(self, reason: str) -> None:
        """Ask nothing more, for ``reason``; what is on the wire may still come."""
        self._refusal.say(reason)

    async def aclose(self) -> None:
        """Close connections and store, after what has been received is on disk."""
        await self._batches.aclose()
        await self._connection.aclose()
        await self._disk.aclose()
        self._claims.close()

    async def _ask(self, item: JudgeItem, key: str) -> Judgment:
        result = self._unread.pop(key, None)
        body, allowed = self._requests.body(item), Allowance(self._settings.deadline)
        for _ in range(self._settings.attempts):
            keep = functools.partial(self._keep, item, key, earlier=result)
            try:
                result = await self._tries.ask(body, keep, allowed)
            except (JudgeRefused, RequestFailed) as error:
                if isinstance(error, JudgeRefused):
                    self._refuse(str(error))
                # The endpoint's reason, with the last reply if an earlier one did not parse.
                failed = result or Judgment(item.video_id, failure=str(error))
                return dataclasses.replace(
                    failed, failure=str(error), usage=_sum(failed.usage, error.usage)
                )
            if result.scores:
                break
        assert result is not None  # noqa: S101  # there is at least one attempt
        return result

    async def _keep(
        self,
        item: JudgeItem,
        key: str,
        reply: ChatReply,
        cost: Usage,
        *,
        earlier: Judgment | None = None,
    ) -> Judgment:
        """Put a reply on disk, then return what it says; ``earlier``: the one asked again."""
        self._witness.watch(reply)
        scores, failure = self._read(reply)
        add = functools.partial(
            self._store.add,
            key,
            reply,
            video_id=item.video_id,
            judge=self._label,
            scores=scores,
            failure=failure,
            usd=cost.usd,
        )
        try:
            attempt = await self._disk.keep(add)
        except JudgeStoreError as error:  # this run has it all the same
            self._refuse(str(error))
            attempt = 1
        return Judgment(
            item.video_id,
            scores=scores,
            reply=reply.text,
            failure=failure,
            model=reply.model,
            fingerprint=reply.fingerprint,
            attempts=attempt,
            usage=_sum(earlier.usage if earlier else None, cost),
        )

    async def _from_batch(
        self, wanted: Mapping[str, JudgeItem], key: str, reply: ChatReply | None, usage: Usage
    ) -> None:
        """Put a reply from a batch on disk; a batch may hold more than this run asked for."""
        item = wanted.get(key) or JudgeItem("", "", "")
        if reply is None:
            judgment = Judgment(item.video_id, failure="the answer was lost", usage=usage)
        else:
            judgment = await self._keep(item, key, reply, usage)
        if judgment.scores is None:
            self._unread[key] = judgment

    def _read(self, reply: ChatReply) -> tuple[Scores | None, str | None]:
        try:
            return read_reply(reply, self._profile.question.form), None
        except ReplyError as error:
            return None, str(error)

    def _refuse(self, reason: str) -> None:
        if self._refusal.say(reason):
            kept = self._settings.command != "judge-check" and "run again" not in reason
            advice = "; what was judged is kept, run again for the rest" if kept else ""
            _log.error("judging stops: %s%s", reason, advice)

    def _from_store(
        self, item: JudgeItem, stored: StoredReply, *, bought: bool = False
    ) -> Judgment:
        reply = stored.reply
        self._witness.watch(reply)
        return Judgment(
            item.video_id,
            scores=stored.scores,
            reply=reply.text,
            failure=stored.failure,
            model=reply.model,
            fingerprint=reply.fingerprint,
            stored=not bought,
            attempts=stored.attempt,
            usage=Usage(reply.prompt_tokens or 0, reply.completion_tokens or 0, stored.usd),
        )


def _sum(one: Usage | None, other: Usage | None) -> Usage | None:
    return one + other if one and other else one or other
