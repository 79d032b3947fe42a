"""What the tests share: one simulated enclave, its sealed table, and DuckDB to hold answers against."""

import os
import warnings
from pathlib import Path

import pytest

import mc2

warnings.simplefilter("ignore", mc2.NotSecureWarning)


@pytest.fixture(scope="session")
def enclave():
    with mc2.connect() as enclave:
        yield enclave


@pytest.fixture(scope="session")
def sales():
    import pyarrow

    rows = 10_000
    regions = ["north", "south", "east", None, "Ünïcode"]
    return pyarrow.table(
        {
            "id": pyarrow.array(range(rows), pyarrow.int64()),
            "region": [regions[row % 5] for row in range(rows)],
            "amount": [None if row % 97 == 0 else row / 8 for row in range(rows)],
            "good": [row % 3 == 0 for row in range(rows)],
        }
    )


@pytest.fixture(scope="session")
def sealed(enclave, sales):
    return enclave.seal(sales, "sales")


@pytest.fixture
def wordcount() -> Path:
    """The example workload: in the tree alone, not carried."""
    return Path(os.environ["MC2_TEST_WORKLOADS"]) / "wordcount.wasm"


@pytest.fixture
def guest() -> Path:
    """A component that does what its arguments say, good or bad."""
    return Path(os.environ["MC2_TEST_WORKLOADS"]) / "hostile.wasm"
