"""One item's way to its judgment: looked up, asked for, put on disk, handed out.

An item takes a turn (the pace), then a claim (no other process asks the same), then the endpoint's
time. Everything here runs in one event loop. A refusal that would meet every request stops all
asking; what is on disk is still handed out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ugc_tasks.judge.claims import Claims
from ugc_tasks.judge.client import (
    Backoff,
    ChatClient,
    JudgeRefused,
    RequestFailed,
    RequestTimedOut,
)
from ugc_tasks.judge.judgment import JudgeItem, Judgment
from ugc_tasks.judge.profiles import ChatProfile
from ugc_tasks.judge.reply import ChatReply, ReplyError, parse_reply
from ugc_tasks.judge.scores import Scores
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.store import JudgeStoreError, JudgmentStore, StoredReply, judgment_key

_CLAIM_POLL_S = 0.25
# So many requests in a row that ran out of time, with no answer to any other between them, are not
# bad luck: the endpoint is down, and the rest of the clips would wait as long, one after another.
_DOWN_AFTER = 3

_T = TypeVar("_T")


class Asking:
    """The paid judge of ``profile`` with its store and its pace."""

    def __init__(self, profile: ChatProfile, settings: JudgeSettings, backoff: Backoff) -> None:
        """Open the store; raises ``JudgeStoreError``. Nothing is sent yet."""
        self._profile = profile
        self._settings = settings
        self._store = JudgmentStore(settings.store)
        self._claims = Claims(settings.store)
        # Writing waits for the disk: in a thread of its own it does not hold up the requests.
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge-store")
        self._turns = asyncio.Semaphore(settings.concurrency)
        self._refusal: str | None = None
        self._refused = asyncio.Event()
        self._timed_out_in_a_row = 0
        self._client = ChatClient(
            base_url=settings.base_url,
            endpoint=settings.endpoint,
            api_key=settings.api_key,
            timeout=settings.timeout,
            backoff=backoff,
            pause=self._pause,
        )

    def key(self, item: JudgeItem) -> str:
        """Return the key of the item's judgment: the same for items whose request is the same."""
        question = self._profile.question.name
        return judgment_key(self._settings.endpoint, self._request(item), question)

    async def judge(self, item: JudgeItem) -> Judgment:
        """Return the judgment of ``item``; a failure is in it, not raised."""
        key = self.key(item)
        try:
            while True:
                stored = await self._on_disk(lambda: self._store.first_scored(key))
                if stored:
                    return _from_store(item, stored)
                async with self._turns:
                    if self._refusal:
                        return Judgment(item.video_id, failure=self._refusal)
                    with self._claims.claimed(key) as mine:
                        if mine:
                            return await self._judge_claimed(item, key)
                await asyncio.sleep(_CLAIM_POLL_S)
        except JudgeStoreError as error:
            self._refuse(str(error))  # what cannot be kept must not be bought
            return Judgment(item.video_id, failure=str(error))

    async def aclose(self) -> None:
        """Close connections and store, after what has been received is on disk."""
        await self._client.aclose()
        self._disk.shutdown(wait=True)
        self._claims.close()
        self._store.close()

    async def _judge_claimed(self, item: JudgeItem, key: str) -> Judgment:
        # Another process may have finished it between our look and our claim.
        stored = await self._on_disk(lambda: self._store.first_scored(key))
        return _from_store(item, stored) if stored else await self._ask(item, key)

    async def _ask(self, item: JudgeItem, key: str) -> Judgment:
        give_up = time.monotonic() + self._settings.deadline
        result = Judgment(item.video_id, failure="no time was left to ask")
        for _ in range(self._settings.attempts):
            left = give_up - time.monotonic()
            if left <= 0:
                break
            try:
                reply = await self._client.ask(self._request(item), within=left)
            except (JudgeRefused, RequestFailed) as error:
                self._note(error)
                # The endpoint's reason, with the last reply if an earlier one did not parse.
                return Judgment(
                    item.video_id, failure=str(error), reply=result.reply, attempts=result.attempts
                )
            self._timed_out_in_a_row = 0
            result = await self._keep(item, key, reply)
            if result.scores:
                break
        return result

    async def _keep(self, item: JudgeItem, key: str, reply: ChatReply) -> Judgment:
        """Put the reply on disk, then read it as a judgment."""
        scores: Scores | None = None
        failure: str | None = None
        try:
            scores = parse_reply(reply.text, self._profile.question.form)
        except ReplyError as error:
            failure = str(error)
        attempt = await self._on_disk(
            lambda: self._store.add(
                key,
                reply,
                video_id=item.video_id,
                judge=self._profile.label,
                scores=scores,
                failure=failure,
            )
        )
        return Judgment(
            item.video_id,
            scores=scores,
            reply=reply.text,
            failure=failure,
            model=reply.model,
            fingerprint=reply.fingerprint,
            attempts=attempt,
        )

    def _note(self, error: JudgeRefused | RequestFailed) -> None:
        if isinstance(error, JudgeRefused):
            self._refuse(str(error))
        elif isinstance(error, RequestTimedOut):
            self._timed_out_in_a_row += 1
            if self._timed_out_in_a_row >= _DOWN_AFTER:
                self._refuse(
                    f"{error}; so it went for {_DOWN_AFTER} clips: the judge is not reachable"
                )
        else:
            self._timed_out_in_a_row = 0  # it answered, if only to decline

    def _refuse(self, reason: str) -> None:
        self._refusal = self._refusal or reason
        self._refused.set()

    async def _pause(self, seconds: float) -> None:
        """Wait between tries, but not on after a refusal."""
        try:
            await asyncio.wait_for(self._refused.wait(), seconds)
        except TimeoutError:
            return
        raise JudgeRefused(self._refusal or "")

    def _request(self, item: JudgeItem) -> dict[str, object]:
        return self._profile.request(item.video_id, item.prediction, item.reference)

    async def _on_disk(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)


def _from_store(item: JudgeItem, stored: StoredReply) -> Judgment:
    return Judgment(
        item.video_id,
        scores=stored.scores,
        reply=stored.reply.text,
        failure=stored.failure,
        model=stored.reply.model,
        fingerprint=stored.reply.fingerprint,
        stored=True,
        attempts=stored.attempt,
    )
