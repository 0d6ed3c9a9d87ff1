"""The deployments of `prefect.yaml`, as they stand."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from prefect import Flow

from tests.support.jobs import SOON

ROOT = Path(__file__).parents[2]


def described(name: str) -> dict[str, Any]:
    """Return what the file says of a deployment."""
    every = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    found: dict[str, Any]
    (found,) = [each for each in every if each["name"] == name]
    return found


def deployment(name: str) -> tuple[Flow[Any, Any], dict[str, Any]]:
    """Return the flow of a deployment and its parameters, in a hurry."""
    found = described(name)
    path, _, function = found["entrypoint"].partition(":")
    flow: Flow[Any, Any] = runpy.run_path(str(ROOT / path))[function]
    return flow, found["parameters"] | {"poll_interval": SOON}
