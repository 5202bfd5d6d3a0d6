"""Run every case of every fault; the table has every number."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.runner import Fault, Unavailable, run_case
from tests.faults.table import FAULTS, TITLES, sections

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_fault(fault: Fault, tmp_path: Path):
    try:
        run_case(fault, tmp_path)
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_the_table_has_every_fault_and_each_case_a_unique_name():
    assert {fault.number for fault in FAULTS} == set(range(1, 135))
    assert len(TITLES) == 134
    assert [len(inside) for _, inside in sections()] == [30, 17, 21, 9, 9, 13, 17, 18]
    assert not [name for name, count in Counter(map(str, FAULTS)).items() if count > 1]
