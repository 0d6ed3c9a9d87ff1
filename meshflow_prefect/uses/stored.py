"""What a use case remembers from run to run: a JSON value in a file, or in a Prefect variable.

A place is a path or a fsspec URL of a `.json` file, or `variable:NAME`, which every worker sees.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from meshflow_prefect.errors import DestinationError, InvalidRequestError, SourceError
from meshflow_prefect.filesystems import explained, is_local, open_filesystem, shown
from meshflow_prefect.whole_files import try_to_write, whole_file, whole_remote_file

_VARIABLE = "variable:"
_NAME = re.compile(r"[a-z0-9_-]{1,255}")
_LINES_TO_DEPTH = 2


async def load(place: str) -> Any | None:
    """Return the value that is stored at a place, or None where nothing is.

    Raises `InvalidRequestError` for what is no place, `SourceError` for a file that cannot be read
    or is not JSON.
    """
    if _is_variable(place):
        from prefect import get_client

        async with get_client() as prefect:
            held = await prefect.read_variable_by_name(_variable(place))
        return None if held is None else held.value
    return await asyncio.to_thread(_read, place)


async def save(place: str, value: Any) -> None:
    """Store a JSON value at a place, in place of what is there. Twice is fine.

    A file is there whole or not at all; its folder is made where it is local. Of two runs that
    save at once the last one wins.

    Raises `InvalidRequestError` for what is no place, `DestinationError` for a file that cannot be
    written, or a value that is too large for a variable; see `fits`.
    """
    if not _is_variable(place):
        await asyncio.to_thread(_write, place, value)
        return
    name = _variable(place)
    if not fits(place, value):
        raise DestinationError(
            f"{place!r}: a Prefect variable holds at most {_most_bytes():,} bytes of JSON, and "
            f"this takes {len(orjson.dumps(value)):,}. Name a .json file in its place, which may "
            "be a URL such as s3://bucket/baseline.json.",
            url=place,
        )
    from prefect import get_client
    from prefect.client.schemas.actions import VariableCreate, VariableUpdate
    from prefect.exceptions import ObjectAlreadyExists

    async with get_client() as prefect:
        if await prefect.read_variable_by_name(name) is None:
            try:
                made = VariableCreate(name=name, value=value, tags=["meshflow"])
                await prefect.create_variable(made)
            except ObjectAlreadyExists:
                pass  # another run was first
            else:
                return
        await prefect.update_variable(VariableUpdate(name=name, value=value))


async def forget(place: str) -> None:
    """Remove what is stored at a place; where nothing is, nothing happens.

    Raises `InvalidRequestError` for what is no place, `DestinationError` for a file that cannot be
    removed.
    """
    if not _is_variable(place):
        await asyncio.to_thread(_remove, place)
        return
    from prefect import get_client
    from prefect.exceptions import ObjectNotFound

    async with get_client() as prefect:
        with suppress(ObjectNotFound):
            await prefect.delete_variable_by_name(_variable(place))


async def check_place(place: str) -> None:
    """Find out, before any work is done, whether something can be stored at a place.

    Raises as `save` does. What is there stays as it is.
    """
    if _is_variable(place):
        _variable(place)
    else:
        await asyncio.to_thread(_try, place)


def fits(place: str, value: Any) -> bool:
    """Whether a value is small enough for a place: variables have a limit, files have none."""
    return not _is_variable(place) or len(orjson.dumps(value)) <= _most_bytes()


def _is_variable(place: str) -> bool:
    return place.startswith(_VARIABLE)


def _variable(place: str) -> str:
    name = place.removeprefix(_VARIABLE)
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"{place!r}: the name of a Prefect variable has 1 to 255 characters out of a-z, 0-9, "
            "'_' and '-'."
        )
    return name


def _most_bytes() -> int:
    from prefect.types import MAX_VARIABLE_VALUE_LENGTH

    return MAX_VARIABLE_VALUE_LENGTH


def _check_ending(place: str) -> None:
    if not place.lower().endswith(".json"):
        raise InvalidRequestError(
            f"{place!r}: expected the path or URL of a .json file, or {_VARIABLE}NAME for a "
            "Prefect variable."
        )


def _read(place: str) -> Any | None:
    _check_ending(place)
    filesystem, path = open_filesystem(place, None, SourceError)
    with explained(SourceError, shown(place), "cannot be read"):
        filesystem.invalidate_cache()
        try:
            content: bytes = filesystem.cat_file(path)
        except FileNotFoundError:
            return None
    try:
        return orjson.loads(content)
    except ValueError as error:
        raise SourceError(f"{shown(place)!r} is not JSON: {error}.", url=shown(place)) from None


def _write(place: str, value: Any) -> None:
    filesystem, path = _try(place)
    whole = whole_file(Path(path)) if is_local(filesystem) else whole_remote_file(filesystem, path)
    with explained(DestinationError, shown(place), "cannot be written"), whole as file:
        file.write(f"{_laid_out(value)}\n".encode())


def _laid_out(value: Any, depth: int = 0) -> str:
    """Return a value as JSON for people too, who look at it, and at its changes beside the code.

    What is in it, and in that, has a line each.
    """
    if isinstance(value, dict):
        parts = [f"{_json(name)}: {_laid_out(each, depth + 1)}" for name, each in value.items()]
    elif isinstance(value, list):
        parts = [_laid_out(each, depth + 1) for each in value]
    else:
        return _json(value)
    if depth == _LINES_TO_DEPTH or not parts:
        return _json(value)
    first, last = "{}" if isinstance(value, dict) else "[]"
    indent = "  " * (depth + 1)
    return f"{first}\n{indent}" + f",\n{indent}".join(parts) + f"\n{indent[2:]}{last}"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _remove(place: str) -> None:
    _check_ending(place)
    filesystem, path = open_filesystem(place, None, DestinationError)
    with (
        explained(DestinationError, shown(place), "cannot be removed"),
        suppress(FileNotFoundError),
    ):
        filesystem.rm_file(path)


def _try(place: str) -> tuple[Any, str]:
    """Return the filesystem of a place and the path in it, once it is known that it takes files."""
    _check_ending(place)
    filesystem, path = open_filesystem(place, None, DestinationError)
    if is_local(filesystem):
        # A link stays, and leads to the new file.
        path = Path(path).resolve().as_posix()
    with explained(DestinationError, shown(place), "cannot be written"):
        if filesystem.isdir(path):
            raise DestinationError(f"{shown(place)!r} is a folder; name a file.", url=shown(place))
        try_to_write(filesystem, path, shown(place))
    return filesystem, path
