"""The recorded time of a cache of teacher outputs, where a line of it is damaged."""

import pytest

from dspkd.training.teachers import cache_cost
from dspkd.training.teachers.cache_cost import CacheCost


@pytest.mark.parametrize(
    "line", [b'{"views": 3, "sec', b"\xff\xfe", b"[]", b'{"views": "x", "seconds": 1, "cpu_seconds": 1}']
)
def test_a_damaged_line_is_set_aside_and_said(tmp_path, caplog, line):
    for _ in range(2):
        cache_cost.record(tmp_path, CacheCost(10, 5.0, 4.0))
    path = tmp_path / "spent.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + line)
    assert cache_cost.of_views(tmp_path, 40) == CacheCost(40, 20.0, 16.0)
    assert "1 of 3 lines are damaged" in caplog.text
    assert (tmp_path / "spent.jsonl.damaged").read_bytes() == whole + line
    assert cache_cost.of_views(tmp_path, 20) == CacheCost(20, 10.0, 8.0)
    assert len(caplog.messages) == 1
