"""A path, a glob or a folder → its files, in order, each of a kind that can be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from glob import has_magic
from typing import Any

from fsspec.utils import infer_compression  # type: ignore[import-untyped]

from meshflow_prefect.errors import SourceError
from meshflow_prefect.filesystems import explained, is_local, shown
from meshflow_prefect.reading.rows import Kind, SourceFile

KINDS: Mapping[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}

_VERSIONS = (
    *("ETag", "etag", "e_tag", "md5Hash", "content_md5", "generation"),
    *("mtime", "LastModified", "last_modified", "modified", "updated", "created"),
)
"""What filesystems call what changes with a file, the surest first."""

_DIGITS = re.compile(r"([0-9]+)")
_NAMED = 5


def list_files(filesystem: Any, path: str, url: str) -> tuple[SourceFile, ...]:
    """Return the files of a source; see `Source.open` for the rules and the errors."""
    found = find_files(filesystem, path, url)
    files = [_source_file(filesystem, *file) for file in found]
    _check(files, [relative for _, relative, _ in found], shown(url))
    return tuple(file for file in files if file is not None)


def find_files(filesystem: Any, path: str, url: str) -> list[tuple[dict[str, Any], str, str]]:
    """Return what is at a path: the filesystem's info, the relative path and the name of each file.

    In natural order, by the rules of `Source.open`, whatever kinds of files they are; raises
    `SourceError` where there are none.
    """
    name = shown(url)
    with explained(SourceError, name, "cannot be read"):
        # A listing that was kept from an earlier look would hide what has changed since.
        filesystem.invalidate_cache()
        found, folder = _found(filesystem, path, name)
    return [
        (info, relative, name if folder is None else f"{folder}{relative}")
        for relative, info in sorted(found.items(), key=lambda item: _natural(item[0]))
    ]


def _found(filesystem: Any, path: str, name: str) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Return infos by relative path, and the folder they are in as the user would name it.

    The folder is None for a single file.
    """
    try:
        info = filesystem.info(path)
    except FileNotFoundError:
        if not has_magic(path):
            raise SourceError(f"{name!r}: there is no such file or folder.", url=name) from None
        root, prefix = _fixed(path), _fixed(name)
        infos = filesystem.glob(path, detail=True)
    else:
        if info["type"] == "file":
            return {shown(path).rpartition("/")[2]: info}, None
        if info["type"] != "directory":
            raise SourceError(f"{name!r} is neither a file nor a folder.", url=name)
        root, prefix = path.rstrip("/") + "/", name.rstrip("/") + "/"
        # Elsewhere a listing is one call, which fails or not; here a folder could be left out.
        whole = {"on_error": "raise"} if is_local(filesystem) else {}
        infos = filesystem.find(path, detail=True, **whole)
    if is_local(filesystem):
        # A local listing tells of a link, not of the file that it leads to.
        infos = {found: filesystem.info(found) for found in infos}
    relative = {found.removeprefix(root): info for found, info in infos.items()}
    hidden_too = has_magic(path) and _is_hidden(path.removeprefix(root))
    files = {
        found: info
        for found, info in relative.items()
        if info["type"] != "directory" and (hidden_too or not _is_hidden(found))
    }
    if not files:
        raise SourceError(f"{name!r}: there are no files.", url=name)
    return files, prefix


def _fixed(pattern: str) -> str:
    """Return the folders of a pattern before the first one that has a wildcard, with the slash."""
    parts = pattern.split("/")
    count = next(number for number, part in enumerate(parts) if has_magic(part))
    return "".join(f"{part}/" for part in parts[:count])


def _is_hidden(relative: str) -> bool:
    return any(part.startswith((".", "_")) for part in relative.split("/"))


def _natural(relative: str) -> tuple[list[str | int], str]:
    # Texts and numbers take turns in what `split` returns, so that no text meets a number.
    parts = _DIGITS.split(relative)
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], relative


def _source_file(
    filesystem: Any, info: dict[str, Any], relative: str, name: str
) -> SourceFile | None:
    """Return the file, or None when its ending is not known."""
    bare = relative.lower()
    compression = infer_compression(bare)
    if compression is not None:
        bare = bare.rpartition(".")[0]
    ending = f".{bare.rpartition('.')[2]}"
    kind = KINDS.get(ending)
    # A zip file holds files, of which fsspec would read the first; Parquet compresses inside.
    if kind is None or compression == "zip" or (compression and kind == "parquet"):
        return None
    return SourceFile(
        path=info["name"],
        name=name,
        relative=relative,
        kind=kind,
        ending=ending,
        compression=compression,
        size=info.get("size"),
        version=version_of(filesystem, info),
    )


def version_of(filesystem: Any, info: Mapping[str, Any]) -> str:
    """Return what changes when a file does, by what its filesystem says of it."""
    version = next((info[key] for key in _VERSIONS if info.get(key) is not None), None)
    return str(version if version is not None else filesystem.ukey(info["name"]))


def _check(files: list[SourceFile | None], found: list[str], name: str) -> None:
    if None in files:
        known = {file.relative for file in files if file is not None}
        unknown = _listed([relative for relative in found if relative not in known])
        raise SourceError(
            f"{name!r}: cannot tell what is in {unknown}: known endings are {', '.join(KINDS)}, "
            "and for text files .gz, .bz2, .xz (.zst and .lz4 with the packages zstandard and lz4) "
            "after them. To read some of a folder's files give a glob, such as 'folder/*.jsonl'.",
            url=name,
        )
    empty = [file.name for file in files if file is not None and file.size == 0]
    if empty:
        raise SourceError(f"{_listed(empty)}: empty, 0 bytes.", url=name)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(repr(name) for name in sorted(names)[:_NAMED]) + more
