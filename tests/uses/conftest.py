"""Use cases that are called directly, on a real Prefect server: they wait in their own process."""

from tests.support.in_process import emulator, spools

__all__ = ["emulator", "spools"]
