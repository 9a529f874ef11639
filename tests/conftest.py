"""Loads this checkout as the package ``magplus``, whatever the folder is called and whatever is installed."""

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

_spec = importlib.util.spec_from_file_location("magplus", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
_module = importlib.util.module_from_spec(_spec)
sys.modules["magplus"] = _module
_spec.loader.exec_module(_module)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """Folder of the checkout under test."""
    return ROOT


@pytest.fixture(scope="module")
def benchmark_of(root):
    """Imports a benchmark by its name."""
    sys.path.insert(0, str(root / "benchmarks"))
    yield importlib.import_module
    sys.path.remove(str(root / "benchmarks"))
