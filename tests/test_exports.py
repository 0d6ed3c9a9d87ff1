"""What `import meshflow_prefect` offers, and what it does not load."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pytest

import meshflow_prefect
from meshflow_prefect import errors

SOURCE = Path(meshflow_prefect.__file__)


def names_for_type_checkers() -> set[str]:
    """The names that `__init__.py` imports under `if TYPE_CHECKING`."""
    (block,) = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    return {alias.asname or alias.name for line in block.body for alias in line.names}


def in_a_fresh_process(code: str) -> None:
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_all_is_sorted_and_has_no_name_twice():
    assert meshflow_prefect.__all__ == sorted(set(meshflow_prefect.__all__))


def test_all_is_what_type_checkers_see():
    assert set(meshflow_prefect.__all__) == names_for_type_checkers()


def test_every_error_that_a_caller_can_meet_is_exported():
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.MeshflowError)
    }
    # Taken care of inside: the wait goes on in its process.
    assert kinds - {"SuspensionError"} == {
        name for name in meshflow_prefect.__all__ if name.endswith("Error")
    }


@pytest.mark.parametrize("name", meshflow_prefect.__all__)
def test_every_name_is_there_and_documented(name):
    value = getattr(meshflow_prefect, name)
    assert value.__module__.startswith("meshflow_prefect.")
    assert value.__doc__
    assert name in dir(meshflow_prefect)


def test_a_name_that_is_not_exported_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = meshflow_prefect.nothing


def test_a_star_import_brings_all_names():
    names: dict = {}
    exec("from meshflow_prefect import *", names)
    assert set(meshflow_prefect.__all__) <= set(names)


def test_the_version_is_the_distributions():
    assert meshflow_prefect.__version__ == metadata.version("meshflow-prefect")


def test_prefect_finds_the_package_as_a_collection():
    (found,) = [
        point
        for point in metadata.entry_points(group="prefect.collections")
        if point.name == "meshflow_prefect"
    ]
    assert found.load() is meshflow_prefect


def test_the_package_says_that_it_is_typed():
    assert (SOURCE.parent / "py.typed").exists()


def test_importing_the_package_loads_neither_prefect_nor_the_sdk():
    in_a_fresh_process(
        """
        import sys
        import meshflow_prefect
        assert not {"prefect", "anthropic", "pydantic", "rich"} & set(sys.modules)
        """
    )


def test_using_every_name_loads_neither_the_sdk_nor_prefects_server():
    in_a_fresh_process(
        """
        import sys
        from meshflow_prefect import *
        BatchRequest("a", "Hello.")
        AnthropicCredentials().get_client()
        loaded = [name for name in sys.modules if name.startswith("prefect.server")]
        assert not loaded, loaded
        assert "anthropic" not in sys.modules
        """
    )


def test_the_client_works_without_prefect():
    in_a_fresh_process(
        """
        import sys
        from meshflow_prefect import AnthropicBatchClient, BatchRequest, total_cost
        BatchRequest("a", "Hello.")
        AnthropicBatchClient("key")
        assert "prefect" not in sys.modules
        """
    )
