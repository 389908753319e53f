"""Writes the Grafana dashboard: `python3 metrics/dashboards/make_dashboard.py [--check]`.

The dashboard is data here and JSON beside it, so that a review sees queries, not coordinates. --check writes nothing and
exits 1 when the committed JSON is not what this script would write.
"""

import argparse
import json
import pathlib
import sys

TARGET = pathlib.Path(__file__).with_name("sluice.json")
WIDTH = 24
PANEL_WIDTH = 8
PANEL_HEIGHT = 8

IN = '{instance=~"$instance"}'

# Row -> panels; a panel is (title, unit, what a reader should take from it, [(query, legend)]).
ROWS = [
    ("Are deadlines met?", [
        ("Deadlines missed", "percentunit", "Objective: at most 1 %.",
         [(f"sluice:slo_missed:ratio_5m{IN}", "{{instance}}")]),
        ("Slack when a request ended, p1", "s", "Below zero: one request in a hundred is late.",
         [("histogram_quantile(0.01, sum by (le, instance) (rate(sluice_slo_slack_seconds_bucket"
           f"{IN}[5m])))", "{{instance}}")]),
        ("What made requests late", "ops", "The step that took longest of each late request.",
         [(f"sum by (cause) (rate(sluice_slo_missed_total{IN}[5m]))", "{{cause}}")]),
    ]),
    ("How do transfers go?", [
        ("Transfers by outcome", "ops", "Anything but ok deserves a look.",
         [(f"sum by (direction, outcome) (rate(sluice_transfers_total{IN}[5m]))", "{{direction}} {{outcome}}")]),
        ("Time of a transfer, p50 and p99", "s", "From opening to published KV.",
         [("histogram_quantile(0.5, sum by (le, direction) (rate(sluice_transfer_seconds_bucket"
           f"{IN}[5m])))", "p50 {{direction}}"),
          (f"max by (direction) (sluice:transfer_seconds:p99_5m{IN})", "p99 {{direction}}")]),
        ("Where the time goes", "s", "Mean time of each step of a request.",
         [(f"sum by (stage) (rate(sluice_stage_seconds_sum{IN}[5m])) / sum by (stage) "
           f"(rate(sluice_stage_seconds_count{IN}[5m]))", "{{stage}}")]),
    ]),
    ("What is decided, and is it honest?", [
        ("Decisions by choice", "ops", "Raw on fast links, base and refinements on slow ones.",
         [(f"sum by (choice) (rate(sluice_decisions_total{IN}[5m]))", "{{choice}}")]),
        ("Decisions by reason", "ops", "The pinned reason codes of the scheduler.",
         [(f"sum by (reason) (rate(sluice_decisions_total{IN}[5m])) > 0", "{{reason}}")]),
        ("Predicted over actual, median", "none", "1 is honest; above 1 is cautious.",
         [("histogram_quantile(0.5, sum by (le, what) (rate(sluice_predicted_over_actual_ratio_bucket"
           f"{IN}[30m])))", "{{what}}"),
          (f"sluice:predictions_off:ratio_30m{IN}", "share off by half: {{what}}")]),
    ]),
    ("What is on the wire?", [
        ("Wire bytes", "Bps", "As sent, headers included.",
         [('sum by (direction, peer) (rate(sluice_bytes_total{instance=~"$instance",kind="wire"}[5m]))',
           "{{direction}} {{peer}}")]),
        ("Wire bytes per raw byte", "percentunit", "What the codec leaves of the rows.",
         [(f"sluice:wire_ratio:5m{IN}", "{{instance}} {{direction}}")]),
        ("Computed here after all", "ops", "Requests that did not use the peer's KV, and why.",
         [(f"sum by (cause) (rate(sluice_fallback_total{IN}[5m])) > 0", "{{cause}}")]),
    ]),
    ("How are the links?", [
        ("Measured rate from a peer", "Bps", "Only while the link was the bottleneck.",
         [(f"sluice_link_bandwidth_bytes_per_second{IN}", "{{instance}} from {{peer}}")]),
        ("Round trip", "s", "Smallest of the recent ones.",
         [(f"sluice_link_rtt_seconds{IN}", "{{instance}} to {{peer}}")]),
        ("Sessions up", "none", "By peer; the transport that carries it in the legend.",
         [('sluice_link_state{instance=~"$instance",state="up"} * on (instance, peer) group_left (actual, wanted) '
           "sluice_link_info", "{{peer}} by {{actual}} (wanted {{wanted}})")]),
    ]),
    ("Is the node well?", [
        ("Staging ring", "bytes", "Leased and pinned bytes stay below the whole.",
         [(f"sum by (state) (sluice_pool_bytes{IN})", "{{state}}")]),
        ("Under way", "none", "Requests, and bytes that wait for their next step.",
         [(f"sum(sluice_inflight{IN})", "requests"), (f"sum(sluice_queue_bytes{IN})", "waiting bytes")]),
        ("Refused, retried, expired", "ops", "Zero on a healthy node.",
         [(f"sum by (cause) (rate(sluice_integrity_failures_total{IN}[5m])) > 0", "refused: {{cause}}"),
          (f"sum by (cause) (rate(sluice_retries_total{IN}[5m])) > 0", "retried: {{cause}}"),
          (f"sum(rate(sluice_lease_expired_total{IN}[5m]))", "leases expired"),
          (f"sum by (field) (rate(sluice_handshakes_refused_total{IN}[5m])) > 0", "handshake refused: {{field}}"),
          (f"sum by (cause) (rate(sluice_circuits_opened_total{IN}[5m])) > 0", "peer left alone: {{cause}}")]),
    ]),
    ("What runs here?", [
        ("Versions", "none", "One line per node and build.",
         [(f"count by (instance, version, ucx, isa, codec, cuda) (sluice_build_info{IN})",
           "{{instance}}: {{version}}, ucx {{ucx}}, {{isa}}, codec {{codec}}, cuda {{cuda}}")]),
    ]),
]


def panel(number, spec, x, y):
    title, unit, description, queries = spec
    return {
        "id": number,
        "type": "timeseries",
        "title": title,
        "description": description,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"h": PANEL_HEIGHT, "w": PANEL_WIDTH, "x": x, "y": y},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [{"refId": chr(ord("A") + place), "expr": query, "legendFormat": legend}
                    for place, (query, legend) in enumerate(queries)],
    }


def dashboard():
    panels, y = [], 0
    for title, specs in ROWS:
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                       "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y}})
        y += 1
        for place, spec in enumerate(specs):
            panels.append(panel(len(panels) + 1, spec, place * PANEL_WIDTH, y))
        y += PANEL_HEIGHT
    variables = [
        {"name": "datasource", "type": "datasource", "query": "prometheus"},
        {"name": "instance", "type": "query", "datasource": {"type": "prometheus", "uid": "${datasource}"},
         "query": "label_values(sluice_build_info, instance)", "refresh": 2, "multi": True, "includeAll": True},
    ]
    return {"uid": "sluice-nodes", "title": "Sluice nodes", "tags": ["sluice"], "schemaVersion": 39, "version": 1,
            "editable": True, "refresh": "15s", "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": variables}, "annotations": {"list": []}, "panels": panels}


def main(argv):
    parser = argparse.ArgumentParser(description="writes the Grafana dashboard")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the committed file is stale")
    options = parser.parse_args(argv)
    text = json.dumps(dashboard(), indent=1) + "\n"
    if not options.check:
        TARGET.write_text(text)
        return 0
    if TARGET.exists() and TARGET.read_text() == text:
        return 0
    print(f"{TARGET}: stale; run python3 metrics/dashboards/make_dashboard.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
