"""Holds dashboards, rules and docs against what a node really exports: `check_observability.py RENDER_PROGRAM`.

Every metric that a query names must exist; every expression must parse; every recorded series that is used is recorded;
every alert has a runbook section and a test; docs/metrics.md lists every metric. Prints findings; exit 0 without any.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
RULES = [ROOT / "metrics/rules/recording.yml", ROOT / "metrics/rules/alerts.yml"]
RULE_TESTS = ROOT / "metrics/rules/alerts_test.yml"
DASHBOARD = ROOT / "metrics/dashboards/sluice.json"
RUNBOOK = ROOT / "docs/runbook.md"
REFERENCE = ROOT / "docs/metrics.md"
HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")


def exported(program):
    """Names of a busy node's metrics, as their TYPE lines give them."""
    text = subprocess.run([program, "busy"], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


def metrics_of(expression):
    return set(re.findall(r"\bsluice_[a-z_]+", re.sub(r'"[^"]*"', '""', expression)))


def recorded_of(expression):
    return set(re.findall(r"\bsluice:[a-z_]+:[a-z0-9_]+", re.sub(r'"[^"]*"', '""', expression)))


def base_name(name, known):
    for suffix in HISTOGRAM_SUFFIXES:
        if name.endswith(suffix) and name.removesuffix(suffix) in known:
            return name.removesuffix(suffix)
    return name


def rule_values(key):
    """(file, value) of every `key: value` line of the rule files."""
    for path in RULES:
        for match in re.finditer(rf"^\s*(?:- )?{key}: (.+)$", path.read_text(), re.MULTILINE):
            yield path, match.group(1)


def dashboard_queries():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    ids = [panel["id"] for panel in panels]
    if len(set(ids)) != len(ids):
        yield "duplicate ids", "vector(0)"
    for panel in panels:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$instance", ".*")


def check_names(known):
    recorded = {value for _, value in rule_values("record")}
    used = [(str(path), value) for path, value in rule_values("expr")] + list(dashboard_queries())
    seen = set()
    for where, expression in used:
        for name in metrics_of(expression):
            seen.add(base_name(name, known))
            if base_name(name, known) not in known:
                yield f"{where}: {name} is exported by no node"
        for name in recorded_of(expression) - recorded:
            yield f"{where}: {name} is recorded by no rule"
    for name in sorted(known - seen):
        yield f"{name}: no rule and no panel uses it"


def check_alerts():
    runbook = RUNBOOK.read_text()
    tests = RULE_TESTS.read_text()
    alerts = [value for _, value in rule_values("alert")]
    links = [value for _, value in rule_values("runbook_url")]
    if not alerts or links != [f"docs/runbook.md#{alert.lower()}" for alert in alerts]:
        yield "alerts.yml: every alert needs its own runbook_url, in order"
    for alert in alerts:
        if f"\n## {alert}\n" not in runbook:
            yield f"{alert}: no section in docs/runbook.md"
        if not re.search(rf"alertname: {alert}\n\s+exp_alerts:\n", tests):
            yield f"{alert}: no test in which it fires"
    for section in re.findall(r"^## (Sluice\w+)$", runbook, re.MULTILINE):
        if section not in alerts:
            yield f"docs/runbook.md: {section} is no alert"


def check_reference(known):
    listed = set(re.findall(r"^\| `(sluice_\w+)`", REFERENCE.read_text(), re.MULTILINE))
    for name in sorted(known ^ listed):
        yield f"docs/metrics.md: {name} is {'missing' if name in known else 'exported by no node'}"


def check_queries_parse():
    """promtool parses the dashboard's queries as if they were rules."""
    promtool = shutil.which("promtool")
    if promtool is None:
        return
    rules = [{"record": f"panel:{place}", "expr": query} for place, (_, query) in enumerate(dashboard_queries())]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        # JSON is YAML.
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        run = subprocess.run([promtool, "check", "rules", file.name], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        yield f"dashboard: {run.stdout}{run.stderr}"


def main(argv):
    known = exported(argv[0])
    findings = [*check_names(known), *check_alerts(), *check_reference(known), *check_queries_parse()]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
