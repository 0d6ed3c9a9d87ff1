"""A command that was stopped and is given again: its source must be what it was.

A job goes by the content of its source, so that a changed one would be another job, and be paid for
from the first row on. What a command has begun with is kept in a Prefect variable until it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from meshflow_prefect.cli.jobs import digest_of
from meshflow_prefect.errors import BatchFailedError, ContentChangedError
from meshflow_prefect.filesystems import whole_path
from meshflow_prefect.reporting import counted


@asynccontextmanager
async def key_until_it_ends(
    command: str,
    source: str,
    content: Callable[[], str],
    *,
    output: str,
    asked: Any,
    given: str | None,
) -> AsyncIterator[str]:
    """Yield the job key of a command, which is the same whenever the command is.

    `content` returns a digest of what is in the source; `asked` is all that is asked of it. A key
    that is `given` is yielded whatever was begun before.

    Raises `ContentChangedError` where one that asks the same of the same source was stopped after
    it had submitted something, and the content of the source is another one now.
    """
    from meshflow_prefect.uses.stored import load, save

    said = [command, whole_path(output), asked]
    digest = "" if given else digest_of([*said, await asyncio.to_thread(content)])
    key = given or f"meshflow-prefect {command} {digest}"
    place = f"variable:meshflow_begun_{digest_of([*said, whole_path(source)])}"
    earlier = await load(place)
    if earlier not in (None, key) and not given:
        await _check_unsubmitted(str(earlier), source)
    await save(place, key)
    try:
        yield key
    except BatchFailedError:
        # With the output written: there is nothing to go on with.
        await _forget(place)
        raise
    await _forget(place)


async def _forget(place: str) -> None:
    from httpx import HTTPError

    from meshflow_prefect.uses.stored import forget

    # The job is done, and its output written: that must not fail of a note.
    with suppress(HTTPError):
        await forget(place)


async def _check_unsubmitted(key: str, source: str) -> None:
    from prefect import get_client

    from meshflow_prefect.filesystems import shown
    from meshflow_prefect.job_keys import unfinished

    async with get_client() as prefect:
        submitted = await unfinished(prefect, key)
    if not submitted:
        return
    raise ContentChangedError(
        f"{shown(source)!r} is not what it was when this command was stopped, after it had "
        f"submitted {counted(len(submitted), 'batch')}. Nothing was submitted now. Restore it, and "
        "give the command again, to collect what is paid for; or give it with --job-key, and a "
        "name of your own, to submit all of what is there now.",
        source=shown(source),
    )
