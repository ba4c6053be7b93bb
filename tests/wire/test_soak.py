"""Everything at once, for some seconds (see soak.py)."""

import wire_harness as harness
from soak import MEMORY_LIMIT
from soak import soak


def test_nothing_is_left_of_what_was_cancelled():
    process = harness.ServerProcess(f"--memory_limit={MEMORY_LIMIT}",
                                    "--noaccess_log")
    result = soak(process, seconds=6)
    assert not result.failures, result.failures[:3]
    assert result.calls["OK"] > 100 and result.calls["CANCELLED"] > 10, (
        result.calls)
    assert process.stop() == 0, process.log()
