"""Asks a Prometheus the queries of the dashboard, and those of the alerts that it has.

    queries.py first ADDRESS DASHBOARD    succeeds if it has scraped a gateway
    queries.py all ADDRESS DASHBOARD      waits until each has returned what is shown of it

An alert's query is asked without its threshold. Of a panel, and of an alert's sentence, the labels
that are written there have to be there, too.
"""

import json
import math
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# The longest that a scrape of all may take after what it tells of, and the alerts' evaluation.
PATIENCE_S = 25
PAUSE_S = 0.25
THRESHOLD = re.compile(r"\s*(==|!=|>=|<=|>|<)\s*-?[0-9.]+")


class Query:
    def __init__(self, place, text, shown):
        self.place = place
        self.text = text
        self.labels = set(re.findall(r"{{\s*(\w+)\s*}}|\$labels\.(\w+)", shown))
        self.labels = {label for pair in self.labels for label in pair if label}


def of_dashboard(path):
    with open(path) as file:
        dashboard = json.load(file)
    for variable in dashboard["templating"]["list"]:
        values = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
        if values:
            place = f"dashboard, variable {variable['name']}"
            yield Query(place, values[1], "{{%s}}" % values[2])
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            # What Grafana puts in.
            text = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
            yield Query(f"dashboard, {panel['title']}", text, target.get("legendFormat", ""))


def of_alerts(address):
    for rule in alerts(address):
        text = THRESHOLD.sub("", rule["query"])
        yield Query(f"alert {rule['name']}", text, " ".join(rule["annotations"].values()))


def alerts(address):
    return [rule for group in ask(address, "rules")["groups"] for rule in group["rules"]]


def ask(address, what, **parameters):
    words = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"http://{address}/api/v1/{what}?{words}", timeout=10) as told:
            return json.load(told)["data"]
    except urllib.error.HTTPError as error:
        # It says what is wrong with a query.
        raise OSError(json.load(error).get("error", error)) from error


def lacks(address, query):
    """What there is to say against the answer to a query; nothing if it is good."""
    try:
        series = ask(address, "query", query=query.text)["result"]
    except OSError as error:
        return str(error)
    if not series:
        return "returns nothing"
    if all(math.isnan(float(each["value"][1])) for each in series):
        return "returns no number"
    missing = [query.labels - each["metric"].keys() for each in series]
    return f"lacks the labels {sorted(missing[0])}" if all(missing) else None


def unwell(address):
    """The alerts that could not be evaluated, or were not yet."""
    bad = [rule for rule in alerts(address) if rule["health"] != "ok"]
    return [f"alert {rule['name']}: {rule.get('lastError') or 'not evaluated'}" for rule in bad]


def ask_all(address, dashboard):
    queries = [*of_dashboard(dashboard), *of_alerts(address)]
    if len(queries) < 40:
        sys.exit(f"only {len(queries)} queries were found")
    waiting, until = queries, time.monotonic() + PATIENCE_S
    while True:
        said = [(query, lacks(address, query)) for query in waiting]
        waiting = [query for query, wrong in said if wrong]
        complaints = [f"{query.place}: {wrong}: {query.text}" for query, wrong in said if wrong]
        complaints += unwell(address)
        if not complaints:
            print(f"{len(queries)} queries return data")
            return
        if time.monotonic() > until:
            sys.exit("\n".join(complaints))
        time.sleep(PAUSE_S)


def main():
    what, address, dashboard = sys.argv[1:]
    try:
        if what == "all":
            ask_all(address, dashboard)
        elif ask(address, "query", query="count_over_time(sluice_ready[1m]) > 1")["result"] == []:
            sys.exit("it has no series of a gateway")
    except OSError as error:
        sys.exit(f"Prometheus at {address}: {error}")


main()
