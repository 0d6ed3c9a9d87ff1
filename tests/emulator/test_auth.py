"""Keys, versions and workspaces."""

from __future__ import annotations

import httpx
import pytest

from meshflow_prefect.emulator import Emulator
from tests.emulator.wire import BATCHES, client_of, create, error_of

_VERSION = {"anthropic-version": "2023-06-01"}


@pytest.mark.parametrize(
    "header", [{"x-api-key": "sk-ant-any"}, {"authorization": "Bearer sk-ant-any"}]
)
def test_a_key_is_accepted_in_either_header(emulator: Emulator, header: dict[str, str]) -> None:
    answer = httpx.get(emulator.base_url + BATCHES, headers={**_VERSION, **header})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({}, "x-api-key header is required"),
        ({"authorization": "Basic abc"}, "x-api-key header is required"),
        ({"x-api-key": "sk-ant-invalid-1"}, "invalid x-api-key"),
        ({"authorization": "Bearer sk-ant-invalid"}, "invalid bearer token"),
    ],
)
def test_a_key_that_is_missing_or_wrong_is_a_401(
    emulator: Emulator, header: dict[str, str], message: str
) -> None:
    answer = httpx.get(emulator.base_url + BATCHES, headers={**_VERSION, **header})
    assert error_of(answer) == (401, "authentication_error", message)


def test_a_refused_create_call_is_answered_after_its_body(emulator: Emulator) -> None:
    with client_of(emulator, **{"x-api-key": "sk-ant-invalid"}) as api:
        answer = api.post(BATCHES, content=b'{"requests": [' + b" " * 5_000_000 + b"]}")
    assert error_of(answer)[:2] == (401, "authentication_error")


def test_the_version_header_is_required(emulator: Emulator) -> None:
    answer = httpx.get(emulator.base_url + BATCHES, headers={"x-api-key": "k"})
    assert error_of(answer) == (
        400,
        "invalid_request_error",
        "anthropic-version: header is required",
    )


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("2023-01-01", 200),
        ("2026-10-21", 200),
        ("2027-01-31", 200),
        ("2023-10-01", 400),
        ("9", 400),
    ],
)
def test_the_version_has_to_be_one_of_the_api(
    emulator: Emulator, version: str, status: int
) -> None:
    headers = {"x-api-key": "k", "anthropic-version": version}
    answer = httpx.get(emulator.base_url + BATCHES, headers=headers)
    assert answer.status_code == status
    if status == 400:
        message = f'anthropic-version: "{version}" is not a valid version'
        assert error_of(answer) == (400, "invalid_request_error", message)


def test_only_the_keys_that_were_given_are_accepted() -> None:
    with Emulator(api_keys=("one", "two")) as emulator:
        assert emulator.environment()["ANTHROPIC_API_KEY"] == "one"
        for key, status in (("one", 200), ("two", 200), ("sk-ant-three", 401)):
            with client_of(emulator, **{"x-api-key": key}) as api:
                assert api.get(BATCHES).status_code == status


def test_a_batch_is_seen_in_its_own_workspace_only() -> None:
    with (
        Emulator(workspaces={"theirs": "other"}) as emulator,
        client_of(emulator) as ours,
        client_of(emulator, **{"x-api-key": "also-ours"}) as also_ours,
        client_of(emulator, **{"x-api-key": "theirs"}) as theirs,
    ):
        batch_id = create(ours)["id"]
        assert also_ours.get(f"{BATCHES}/{batch_id}").status_code == 200
        assert theirs.get(f"{BATCHES}/{batch_id}").status_code == 404
        assert theirs.get(BATCHES).json()["data"] == []


def test_calls_are_logged_with_a_fingerprint_and_never_with_the_key(emulator: Emulator) -> None:
    with client_of(emulator, **{"x-api-key": "sk-ant-secret-word"}) as api:
        create(api)
        api.get(f"{BATCHES}/msgbatch_x")
    first, second = emulator.calls()
    assert first["endpoint"] == "POST /v1/messages/batches"
    assert second["endpoint"] == "GET /v1/messages/batches/{id}"
    assert (first["status"], second["status"]) == (200, 404)
    assert first["user_agent"].startswith("python-httpx")
    assert first["key_fingerprint"] == second["key_fingerprint"]
    assert "secret-word" not in str(emulator.calls())
    assert emulator.state()["calls"]["POST /v1/messages/batches"] == 1
