"""From texts to recorded answers: the one path that /v1 and /v2 share."""

import asyncio
import re
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.classification import Answer, answer_of
from engine.modality import EncodedRow
from engine.sketch import pack_floats
from server.batching import Ask, RowResult
from server.callers import Within
from server.parts import Parts
from server.recording import decide_recording, lottery
from server.routing import Target
from store.errors import BadInput, DeadlinePassed
from store.ids import new_id
from store.predictions import NewPrediction

_INLINE_LETTERS = 1000
"""Texts of so many letters in all are tokenized on the event loop: that takes less than a hop to a thread and back
while the threads compete for the interpreter (0.05 ms for a short text, 0.4 ms at most)."""
_PREDICTION_ID = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([0-9]{1,9}):[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Answered:
    id: str
    answer: Answer
    recorded: bool


def check_texts(texts: Sequence[str], *, limit: int) -> None:
    """Raises BadInput naming the first text that cannot be answered."""
    if not texts:
        raise BadInput("inputs: no text was sent; send at least one", where="/inputs")
    if len(texts) > limit:
        raise BadInput(f"inputs: {len(texts)} texts, the limit is {limit}; send several requests", where="/inputs")
    for i, text in enumerate(texts):
        if not text or text.isspace():
            raise BadInput(f"inputs/{i}: the text is empty", where=f"/inputs/{i}")
        if "\x00" in text:
            raise BadInput(f"inputs/{i}: the text holds a NUL character; remove it", where=f"/inputs/{i}")


async def answer_texts(
    parts: Parts,
    texts: Sequence[str],
    *,
    model: str,
    version: int | None,
    truncate: bool,
    tags: Mapping[str, str],
    request_id: str,
    caller: Hashable,
    timeout_s: float | None = None,
    priority: int = 0,
) -> tuple[Target, list[Answered]]:
    """Answer and record `texts`.

    caller: the connection they came by. timeout_s: the caller's own deadline; the setting's is the longest. priority:
    as the Open Inference Protocol has it, 0 the default, 1 the highest, larger is lower. Raises DeadlinePassed and the
    errors of routing, encoding and batching.
    """
    began = time.perf_counter()
    limit_s = parts.settings.request_timeout_s
    if timeout_s is not None:
        limit_s = min(limit_s, timeout_s)
    check_texts(texts, limit=parts.settings.max_inputs)
    try:
        with Within(limit_s):
            target = parts.router.resident(model, version) or await parts.router.target(model, version)
            batcher = target.runtime.batcher
            batcher.refuse_if_full(model, at_least_tokens=len(texts))
            rows = await _encode(parts, target, texts, truncate=truncate)
            if len(rows) > 1:  # before it takes another's slot
                batcher.refuse_if_full(model, at_least_tokens=sum(row.length_tokens for row in rows))
            slot = target.bank.lease(target.key)
            if slot is None:
                slot = await parts.router.load(target)
            else:
                target.runtime.hits.inc()
            ask = Ask(rows, slot, len(target.served.labels), model, target.precision, priority, caller)
            results = await batcher.submit(ask, target.release)
    except TimeoutError:
        raise DeadlinePassed(f"no answer within {limit_s:g} s; the request was given up") from None
    latency_s = time.perf_counter() - began
    now = parts.clock()
    answered = []
    for text, row, result in zip(texts, rows, results, strict=True):
        answer = answer_of(result.probabilities, target.served.labels)
        prediction = _prediction(parts, target, text, row, answer, result, latency_s, tags, request_id, now)
        recorded = bool(prediction.reason) and parts.recorder.offer(prediction)
        answered.append(Answered(prediction.id, answer, recorded))
        target.metrics.observe(answer.label, answer.score)
    parts.metrics.request_seconds.observe(latency_s)
    return target, answered


async def _encode(parts: Parts, target: Target, texts: Sequence[str], *, truncate: bool) -> list[EncodedRow]:
    encode = target.runtime.engine.modality.encode
    if sum(map(len, texts)) <= _INLINE_LETTERS:
        return encode(texts, truncate=truncate)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(parts.tokenizing, lambda: encode(texts, truncate=truncate))


def prediction_id(target: Target, now: datetime) -> str:
    """`model:version:uuid7`: whoever holds an id can say what answered, recorded or not."""
    return f"{target.served.model}:{target.served.version}:{new_id(now)}"


def parse_prediction_id(value: str) -> tuple[str, int]:
    """Model and version that gave an answer. Raises BadInput for what was never an id of ours."""
    parsed = _PREDICTION_ID.fullmatch(value)
    if parsed is None:
        raise BadInput(
            f"prediction_id: {value[:60]!r} is no prediction id; ids look like tickets:3:0193...",
            where="/prediction_id",
        )
    return parsed[1], int(parsed[2])


def _prediction(
    parts: Parts,
    target: Target,
    text: str,
    row: EncodedRow,
    answer: Answer,
    result: RowResult,
    latency_s: float,
    tags: Mapping[str, str],
    request_id: str,
    now: datetime,
) -> NewPrediction:
    settings = parts.settings
    new = prediction_id(target, now)
    choice = decide_recording(
        lottery(new),
        answer.score,
        sample_rate=settings.sample_rate,
        audit_rate=settings.audit_rate,
        low_score=settings.low_score,
    )
    return NewPrediction(
        id=new,
        model=target.served.model,
        version=target.served.version,
        input=text,
        label=answer.label,
        score=answer.score,
        probabilities=pack_floats(answer.probabilities),
        sketch=pack_floats(result.sketch),
        length_tokens=row.length_tokens,
        unknown_tokens=row.unknown_tokens,
        latency_s=latency_s,
        reason=choice.reason if choice else "",
        inclusion=choice.inclusion if choice else 0.0,
        tags=dict(tags),
        request_id=request_id,
        at=now,
        audit=choice.audit if choice else None,
    )
