"""AWS WAF logs of a web ACL in front of a model (formats.md 7.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    Rule,
    Selects,
    hit,
    json_items,
    json_object,
    json_value,
    required,
    select_checks,
    timestamp,
    valid_time,
)

_STOPS = "('BLOCK', 'CAPTCHA', 'CHALLENGE')"


class AwsWaf:
    """See the module's docstring."""

    key = "aws_waf"
    title = "AWS WAF"
    description = (
        "One check of the web ACL per request: BLOCK, CAPTCHA and CHALLENGE are triggers. A matching COUNT rule is one check more, in "
        "shadow mode; since rules that did not match are not logged, it is a hit without a rate. A turn is joined by the header x-request-id, "
        "else by the load balancer's request id. Logging filters of the web ACL may leave requests out, which the log cannot tell."
    )
    yields = ("checks",)
    structure = {
        **dict.fromkeys(["timestamp", "webaclId", "terminatingRuleId", "terminatingRuleType", "action"], "VARCHAR"),
        **dict.fromkeys(
            ["terminatingRuleMatchDetails", "nonTerminatingMatchingRules", "ruleGroupList", "labels"], "JSON"
        ),
        "httpRequest": {"headers": "JSON", "requestId": "VARCHAR", "uri": "VARCHAR"},
    }
    rules = (
        required("timestamp"),
        valid_time("timestamp"),
        required("webaclId"),
        Rule(
            "action",
            "invalid_value",
            f"coalesce(upper(r.action) NOT IN ('ALLOW', {_STOPS[1:-1]}), true)",
            "Valid: ALLOW, BLOCK, CAPTCHA, CHALLENGE.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a web ACL and its terminating rule are named."""
        return 1.0 if {"webaclId", "terminatingRuleId"} <= record.keys() else 0.0

    def selects(self, settings: Settings) -> Selects:
        """The web ACL's own verdict, and the rules that only counted."""
        header = f"list_filter({json_items('r.httpRequest.headers')}, lambda h: lower({json_value('h', '$.name')}) = 'x-request-id')[1]"
        matched = "nullif(array_to_string(json_extract_string({}, '$[*].matchedData[*]'), ' '), '')"
        facts = {
            "ts": timestamp("r.timestamp"),
            "request_id": f"coalesce({json_value(header, '$.value')}, nullif(r.httpRequest.requestId, ''))",
            "layer": "'rule_engine'",
            "stage": "'input'",
            "filter_name": "'aws-waf/' || coalesce(nullif(regexp_extract(r.webaclId, '/webacl/([^/]+)', 1), ''), r.webaclId)",
        }
        stops = f"upper(r.action) IN {_STOPS}"
        verdicts = select_checks(
            "accepted",
            **facts,
            native_id=f"r.timestamp || chr(31) || {facts['request_id']}",
            rule_id=f"CASE WHEN {stops} THEN r.terminatingRuleId END",
            triggered=stops,
            decision=f"CASE WHEN {stops} THEN 'block' ELSE 'allow' END",
            enforced=stops,
            mode="'enforce'",
            status="'ok'",
            outcome=f"CASE WHEN {stops} THEN 'refusal' END",
            matched_text=matched.format("r.terminatingRuleMatchDetails"),
            metadata=json_object(
                action="r.action",
                rule_type="r.terminatingRuleType",
                match_details="r.terminatingRuleMatchDetails",
                rule_groups="r.ruleGroupList",
                labels="r.labels",
                uri="r.httpRequest.uri",
            ),
        )
        found = json_items("r.nonTerminatingMatchingRules")
        counted = f"""
            (SELECT * FROM (SELECT line_no, r, extra, unnest(found) AS rule, generate_subscripts(found, 1) AS item
                FROM (SELECT *, {found} AS found FROM accepted))
             WHERE {json_value("rule", "$.action")} = 'COUNT')"""
        counts = select_checks(
            counted,
            **facts,
            **hit(),
            item="item",
            native_id=f"r.timestamp || chr(31) || {facts['request_id']}",
            rule_id=json_value("rule", "$.ruleId"),
            decision="'block'",
            enforced="false",
            mode="'shadow'",
            matched_text=matched.format("json_extract(rule, '$.ruleMatchDetails')"),
            metadata="CAST(rule AS VARCHAR)",
        )
        return Selects(checks=f"{verdicts} UNION ALL BY NAME {counts}")
