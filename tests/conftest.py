"""What every test starts from: no setting of the environment, and the main module that pytest was started with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from core.logs import configure_logs

# A busy machine is no failure: no example is timed.
settings.register_profile("weir", deadline=None)
settings.load_profile("weir")
# As the server and the commands do.
configure_logs()


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_shell() -> Iterator[None]:
    """Hides `WEIR_*` variables, which would override what a test sets."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WEIR_")]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def _same_main_module() -> Iterator[None]:
    """Puts back `__main__`: AppTest leaves the last page's script there, and a forked worker would run it again."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
