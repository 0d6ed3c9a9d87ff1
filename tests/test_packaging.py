"""The wheel, built and installed in an environment of its own, works from there."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    metadata = next(name for name in names if name.endswith("METADATA"))

    assert "meshflow_prefect/py.typed" in names
    assert "meshflow_prefect/emulator/pytest_plugin.py" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"meshflow_prefect"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert b"License-Expression: Apache-2.0" in zipfile.ZipFile(wheel).read(metadata)


def test_the_installed_wheel_works_outside_of_the_checkout(wheel, tmp_path, anthropic_emulator):
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    # The requirements are those of this environment, without its editable install of the package.
    site = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (Path(site) / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = """
import asyncio
from importlib.metadata import entry_points
import meshflow_prefect
from meshflow_prefect import AnthropicBatchClient, BatchRequest

async def main():
    async with AnthropicBatchClient() as client:
        (result,) = await client.run([BatchRequest("a", "Hello.")], poll_interval=0.1)
        print(result.status)

print(meshflow_prefect.__file__)
print([e.name for e in entry_points(group="prefect.collections") if "meshflow" in e.value][0])
asyncio.run(main())
"""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    where, collection, status = done.stdout.split()
    assert where.startswith(str(environment))
    assert (collection, status) == ("meshflow_prefect", "succeeded")
    version = subprocess.run(
        [str(environment / "bin" / "meshflow-prefect"), "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert version.stdout.strip() == meshflow_version(wheel)


def meshflow_version(wheel: Path) -> str:
    return wheel.name.split("-")[1]
