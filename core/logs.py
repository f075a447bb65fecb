"""What the server and the commands say of themselves: one JSON object a line on standard error.

Nothing but ASCII, so that logged text cannot drive a terminal, and no values of variables, which hold what people wrote.
"""

from __future__ import annotations

import sys

import structlog


def configure_logs() -> None:
    """Sets how every logger of this process writes."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        # Standard error as it is at that moment: it may have been redirected since.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
