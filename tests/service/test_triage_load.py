"""Many reviewers at once on a served home. `WEIR_SOAK=1` runs whole shifts: 20 reviewers, 2,000 cases, two kills."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.service.triage_shift import check_shift, fill_queue, work_shift

IS_WHOLE = os.environ.get("WEIR_SOAK") == "1"


@pytest.mark.parametrize("double_share", [0.0, 0.1] if IS_WHOLE else [0.3])
def test_reviewers_at_once_lose_and_double_nothing_when_the_server_is_killed(
    tmp_path: Path, double_share: float
) -> None:
    home = tmp_path / "home"
    reviewers, leavers, cases, kill_after = (20, 3, 2000, (700, 1400)) if IS_WHOLE else (5, 1, 40, (15,))
    fill_queue(home, cases, double_share=double_share)
    shift = work_shift(home, reviewers=reviewers, leavers=leavers, kill_after=kill_after)
    assert shift.kills == len(kill_after)
    check_shift(home, shift, cases=cases)
