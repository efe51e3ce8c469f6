"""From texts to recorded answers: the one path that /v1 and /v2 share."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.classification import Answer, classify
from engine.modality import EncodedRow
from engine.sketch import pack_floats
from server.batching import RowResult
from server.parts import Parts
from server.recording import decide_recording, lottery
from server.routing import Target
from store.errors import BadInput, DeadlinePassed
from store.ids import new_id
from store.predictions import NewPrediction

_LABELS_IN_METRICS = 200
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
        if not text.strip():
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
) -> tuple[Target, list[Answered]]:
    """Answer and record `texts`. Raises DeadlinePassed and the errors of routing, encoding and batching."""
    started = time.perf_counter()
    limit_s = parts.settings.request_timeout_s
    check_texts(texts, limit=parts.settings.max_inputs)
    try:
        async with asyncio.timeout(limit_s):
            target, rows, results = await _run(parts, texts, model=model, version=version, truncate=truncate)
    except TimeoutError:
        raise DeadlinePassed(f"no answer within {limit_s:g} s; the request was given up") from None
    latency_s = time.perf_counter() - started
    answered = []
    for text, row, result in zip(texts, rows, results, strict=True):
        answer = classify(result.logits, target.served.labels)
        prediction = _prediction(parts, target, text, row, answer, result.sketch, latency_s, tags, request_id)
        answered.append(Answered(prediction.id, answer, _record(parts, prediction)))
        _observe(parts, target, answer)
    parts.metrics.request_seconds.observe(latency_s)
    return target, answered


async def _run(
    parts: Parts, texts: Sequence[str], *, model: str, version: int | None, truncate: bool
) -> tuple[Target, list[EncodedRow], list[RowResult]]:
    target = await parts.router.target(model, version)
    engine = target.runtime.engine
    loop = asyncio.get_running_loop()
    rows = await loop.run_in_executor(parts.tokenizing, lambda: engine.modality.encode(texts, truncate=truncate))
    slot = await parts.router.lease(target)
    results = await target.runtime.batcher.submit(rows, slot, lambda: engine.bank.release(target.key))
    return target, rows, results


def prediction_id(target: Target, parts: Parts) -> str:
    """`model:version:uuid7`: whoever holds an id can say what answered, recorded or not."""
    return f"{target.served.model}:{target.served.version}:{new_id(parts.clock())}"


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
    sketch: Any,
    latency_s: float,
    tags: Mapping[str, str],
    request_id: str,
) -> NewPrediction:
    settings = parts.settings
    new = prediction_id(target, parts)
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
        sketch=pack_floats(sketch),
        length_tokens=row.length_tokens,
        unknown_tokens=row.unknown_tokens,
        latency_s=latency_s,
        reason=choice.reason if choice else "",
        inclusion=choice.inclusion if choice else 0.0,
        tags=dict(tags),
        request_id=request_id,
        at=parts.clock(),
        audit=choice.audit if choice else None,
    )


def _record(parts: Parts, prediction: NewPrediction) -> bool:
    return bool(prediction.reason) and parts.recorder.offer(prediction)


def _observe(parts: Parts, target: Target, answer: Answer) -> None:
    labels = target.served.labels
    shown = answer.label if labels.index(answer.label) < _LABELS_IN_METRICS else "other"
    version = str(target.served.version)
    parts.metrics.prediction_score.labels(model=target.served.model).observe(answer.score)
    parts.metrics.predicted_label.labels(model=target.served.model, version=version, label=shown).inc()
