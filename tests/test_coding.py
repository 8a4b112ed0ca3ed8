"""Every module of coding explains itself by an example."""

import doctest
import importlib
import pkgutil

import pytest

from course_lib import coding

MODULES = [module.name for module in pkgutil.iter_modules(coding.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name):
    result = doctest.testmod(importlib.import_module(f"course_lib.coding.{name}"))
    assert result.attempted and not result.failed
