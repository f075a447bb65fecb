"""Each kind of service gets one message in its own form: what was said, to where it belongs, and nothing else."""

from __future__ import annotations

import json
import smtplib
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

import pytest
import requests

from core.settings_response import NotifyTarget
from incidents.notify.sending import deliver
from incidents.response.enums import Severity
from incidents.response.models import Delivery

AT = datetime.fromisoformat("2026-03-02T09:00:00")
TITLE = "Weir: Incident 7 (high): Open, now new"
BODY = "2026-03-02 09:00 UTC, by ana\nReference 41-0f3a9c12-hook"
KEY = "41-0f3a9c12-hook"
HEX = "0123456789abcdef" * 2
SERVICES = {
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#safety": "https://hooks.slack.com/services/",
    "workflows://prod-3.westeurope.logic.azure.com:443/643e69f83c8944/signature": "https://prod-3.westeurope.logic.azure.com",
    f"pagerduty://{HEX}@{HEX}": "https://events.pagerduty.com/v2/enqueue",
    f"opsgenie://{HEX[:8]}-0123-0123-0123-{HEX[:12]}/": "https://api.opsgenie.com/v2/alerts",
    "jsons://hooks.example.org/weir": "https://hooks.example.org",
}


def make_delivery() -> Delivery:
    return Delivery(
        delivery_id=KEY,
        target="hook",
        event="incident-opened",
        subject="incident/7",
        severity=Severity.HIGH.rank,
        title=TITLE,
        body=BODY,
        created_at=AT,
        due_at=AT,
        state="waiting",
        attempts=0,
        error="",
    )


@pytest.mark.parametrize(("url", "where"), SERVICES.items(), ids=[url.partition(":")[0] for url in SERVICES])
def test_a_service_is_told_once_in_its_own_form(url: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[requests.PreparedRequest] = []

    def send(_session: requests.Session, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        sent.append(request)
        answer = requests.Response()
        answer.status_code = 202 if "pagerduty" in url or "opsgenie" in url else 200
        answer._content = b'{"requestId": "x"}' if "opsgenie" in url else b"ok"
        return answer

    monkeypatch.setattr(requests.Session, "send", send)
    assert deliver(NotifyTarget(name="hook", url=url), make_delivery()) == ""
    (request,) = sent
    assert str(request.url).startswith(where)
    body = request.body.decode() if isinstance(request.body, bytes) else str(request.body)
    # Adaptive cards of Teams escape what their Markdown would act on.
    told = unquote_plus(json.dumps(json.loads(body), ensure_ascii=False)).replace("\\\\", "")
    assert all(words in told for words in ("Incident 7 (high)", "by ana", "41-0f3a9c12"))
    assert not any(foreign in told for foreign in ("appriseit", "github", ".png"))


def test_an_e_mail_goes_to_its_address_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, Any, str]] = []

    class Mailbox:
        def __init__(self, host: str, *_: Any, **__: Any) -> None:
            self.host = host

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: None

        def sendmail(self, _sender: str, to: Any, message: str) -> None:
            sent.append((self.host, to, message))

    monkeypatch.setattr(smtplib, "SMTP", Mailbox)
    monkeypatch.setattr(smtplib, "SMTP_SSL", Mailbox)
    url = "mailtos://weir:secret@mail.example.org?from=weir@example.org&to=oncall@example.org"
    assert deliver(NotifyTarget(name="hook", url=url), make_delivery()) == ""
    ((host, to, message),) = sent
    assert (host, "oncall@example.org" in str(to)) == ("mail.example.org", True)
    assert "Content-Type: text/plain" in message
    assert "secret" not in message
