"""A fault plan in JSON, read and checked: what contradicts itself is refused by name."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import Any, get_args

import orjson

from meshflow_prefect.emulator.fault_fields import FaultFields
from meshflow_prefect.emulator.faults import Action, CallFault, ErrorAnswer, Fault
from meshflow_prefect.emulator.operations import ON_ONE_BATCH, OPERATIONS, SHOWING_BATCHES
from meshflow_prefect.emulator.row_faults import (
    DamageFault,
    DamageKind,
    Outcome,
    OutcomeFault,
    RowChoice,
)
from meshflow_prefect.emulator.wire import STATUS_OF_ERROR, ApiError

_AWAY_STATUS = 503
_ANSWERS = ("status", "drop", "cut_after", "truncate_after", "results_url")
_ERROR_OF_STATUS = {status: kind for kind, status in STATUS_OF_ERROR.items()}
_MESSAGES = {
    "api_error": "Internal server error",
    "authentication_error": "invalid x-api-key",
    "not_found_error": "Not found",
    "overloaded_error": "Overloaded",
    "rate_limit_error": "This request would exceed your account's rate limit.",
    "request_too_large": "Request exceeds the maximum size",
    "timeout_error": "Request timed out",
}


def read_faults(body: bytes, *, now: float) -> list[Fault]:
    """Return the faults of a body `{"faults": [...]}`; one bad fault refuses them all."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise ApiError("invalid_request_error", f"the body is not valid JSON: {problem}") from None
    if not isinstance(told, dict) or told.keys() != {"faults"}:
        raise ApiError("invalid_request_error", 'the body must be {"faults": [...]}')
    if not isinstance(told["faults"], list):
        raise ApiError("invalid_request_error", "faults: must be a list")
    return [
        read_fault(given, f"faults.{number}", now=now)
        for number, given in enumerate(told["faults"])
    ]


def read_fault(given: object, at: str, *, now: float) -> Fault:
    """Return one fault; `now` is when an API that goes away does so."""
    fields = FaultFields(given, at)
    if "on" not in fields:
        fields.refuse("on", "Field required")
    on = fields.word("on", OPERATIONS | {"any", "rows"}) or "any"
    if on == "rows":
        return _rows(fields)
    return _away(fields, on, now) if "away" in fields else _call(fields, on)


def _call(fields: FaultFields, on: str) -> CallFault:
    batch_id = fields.text("batch_id")
    if batch_id is not None and on not in ON_ONE_BATCH | {"any"}:
        fields.refuse("batch_id", f"a call of {on!r} names no batch")
    skip, times = fields.whole("skip", 0), fields.whole_or_null("times", 1)
    action = _action(fields, on)
    fields.finish("a fault of calls")
    if action == Action():
        fields.refuse("on", f"nothing is to happen: give one of {', '.join(_ANSWERS)}, delay, hold")
    return CallFault(
        given=fields.given, on=on, action=action, batch_id=batch_id, skip=skip, times=times
    )


def _action(fields: FaultFields, on: str) -> Action:
    fields.allow_one(*_ANSWERS)
    action = Action(
        delay=fields.number("delay", 0.0),
        hold=fields.word("hold", ("before", "after")),
        accept=fields.flag("accept"),
        answer=_answer(fields),
        drop=fields.flag("drop"),
        cut_after=fields.optional_whole("cut_after", least=0),
        truncate_after=fields.optional_whole("truncate_after", least=0),
        results_url=_url(fields, on),
    )
    if action.accept and not action.replaces_answer:
        fields.refuse("accept", "needs status or drop")
    if action.hold == "after" and action.replaces_answer and not action.accept:
        fields.refuse("hold", "'after' needs a call that is carried out: accept must be true")
    return action


def _answer(fields: FaultFields, default_status: int | None = None) -> ErrorAnswer | None:
    if "status" not in fields and default_status is None:
        for name in ("error", "message", "headers", "details"):
            fields.need(name, "status")
        return None
    status = fields.whole("status", default_status or 0, least=400, most=599)
    usual = "api_error" if status >= 500 else "invalid_request_error"
    error = fields.text("error") or _ERROR_OF_STATUS.get(status, usual)
    return ErrorAnswer(
        status=status,
        error=error,
        message=_message(fields, error),
        headers=fields.headers("headers"),
        details=fields.mapping("details"),
    )


def _message(fields: FaultFields, error: str) -> str:
    return fields.text("message") or _MESSAGES.get(error, "A planned fault")


def _url(fields: FaultFields, on: str) -> str | None:
    url = fields.text("results_url")
    if url is None:
        return None
    if on not in SHOWING_BATCHES | {"any"}:
        fields.refuse("results_url", f"an answer to {on!r} has no results_url")
    if not url.startswith(("http://", "https://")):
        fields.refuse("results_url", f"must begin with http:// or https://, not {url!r}")
    return url


def _away(fields: FaultFields, on: str, now: float) -> CallFault:
    how = fields.word("how", ("drop", "status")) or "drop"
    if how == "drop":
        for name in ("status", "error", "message", "headers", "details"):
            if name in fields:
                fields.refuse(name, "needs how to be 'status'")
    seconds = fields.number("away", 0.0)
    answer = None if how == "drop" else _answer(fields, _AWAY_STATUS)
    fields.finish("an API that is away")
    return CallFault(
        given=fields.given,
        on=on,
        action=Action(drop=how == "drop", answer=answer),
        times=None,
        until=now + seconds,
    )


def _rows(fields: FaultFields) -> OutcomeFault | DamageFault:
    fields.allow_one("outcome", "damage")
    if "outcome" in fields:
        return _outcome(fields)
    if "damage" not in fields:
        fields.refuse("on", "a fault of rows needs outcome or damage")
    return _damage(fields)


def _outcome(fields: FaultFields) -> OutcomeFault:
    outcomes: tuple[Outcome, ...] = get_args(Outcome)
    outcome = fields.word("outcome", outcomes) or "errored"
    error = message = None
    if outcome == "errored":
        error = fields.text("error") or "api_error"
        message = _message(fields, error)
    text = fields.text("text") if outcome == "succeeded" else None
    if outcome == "succeeded" and text is None:
        fields.refuse("text", "Field required")
    fields.allow_one("custom_id", "every", "share")
    fields.need("seed", "share")
    share = fields.number("share", 0.0, most=1.0) if "share" in fields else None
    rows = _chosen(fields, share=share, seed=fields.whole("seed", 0))
    batches = fields.whole_or_null("batches", 1)
    fields.finish(f"the outcome {outcome!r}")
    return OutcomeFault(
        given=fields.given,
        rows=rows,
        outcome=outcome,
        error=error,
        message=message,
        text=text,
        batches=batches,
    )


def _damage(fields: FaultFields) -> DamageFault:
    damages: tuple[DamageKind, ...] = get_args(DamageKind)
    damage = fields.word("damage", damages) or "corrupt"
    fields.allow_one("custom_id", "every")
    rows = _chosen(fields)
    batch_id, times = fields.text("batch_id"), fields.whole_or_null("times", None)
    fields.finish("damage to rows")
    return DamageFault(given=fields.given, rows=rows, damage=damage, batch_id=batch_id, times=times)


def _chosen(fields: FaultFields, **more: Any) -> RowChoice:
    glob = fields.text("custom_id")
    return RowChoice(
        pattern=None if glob is None else re.compile(translate(glob)),
        every=fields.optional_whole("every", least=1),
        **more,
    )
