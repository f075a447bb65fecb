"""A process that delivers what is due on a home, to be killed meanwhile: `python notify_worker.py HOME URL`."""

from __future__ import annotations

import sys
from pathlib import Path

from case_house import T0

from core.records import RecordStore
from core.settings import Settings
from incidents.notify.outbox import collect_messages
from incidents.notify.sending import send_due

if __name__ == "__main__":
    home, url = sys.argv[1:]
    settings = Settings(home=Path(home), notify=({"name": "hook", "url": url},))
    records = RecordStore(settings.records_url)
    collect_messages(records, settings=settings, at=T0)
    send_due(records, settings=settings, at=T0)
