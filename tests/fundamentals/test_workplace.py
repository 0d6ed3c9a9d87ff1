"""A file job's folder goes with the last execution that is at work in it."""

from __future__ import annotations

import os
import subprocess
import sys

from meshflow_prefect.bulk.workplace import Workplace

AT_WORK = """
import sys
from pathlib import Path
from meshflow_prefect.bulk.workplace import Workplace

with Workplace(Path(sys.argv[1])).present():
    print("at work", flush=True)
    sys.stdin.read()
"""


def test_it_is_not_cleared_while_another_process_is_at_work_in_it(tmp_path):
    place = Workplace(tmp_path / "job-1")
    command = [sys.executable, "-c", AT_WORK, place.directory]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == b"at work\n"
        with place.present():
            (place.directory / "results").write_text("rows")
        place.clear()
        assert (place.directory / "results").exists()

        other.kill()
        other.wait()

    place.clear()
    assert not place.directory.exists()


def test_clearing_what_is_not_there_is_fine_and_old_jobs_go_too(tmp_path):
    old, recent = (tmp_path / f"job-{digit * 24}" for digit in "12")
    for each in (old, recent, tmp_path / "something-else"):
        each.mkdir()
        os.utime(each, (0, 0))
    os.utime(recent)
    # One whose job removes it at this moment.
    (tmp_path / f"job-{'3' * 24}").symlink_to(tmp_path / "gone")

    Workplace(tmp_path / "job-none").clear()

    left = {path.name for path in tmp_path.iterdir() if path.exists()}
    assert left == {recent.name, "something-else"}
