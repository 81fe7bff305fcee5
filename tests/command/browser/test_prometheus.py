"""Debian's Prometheus scrapes `caster web` and finds its targets there."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from commands import DEADLINE
from pages import Web, program

CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: caster
    static_configs: [{{targets: ["{place}"]}}]
  - job_name: found
    http_sd_configs: [{{url: "http://{place}/sd?where=type%3Dhttp", refresh_interval: 1s}}]
    relabel_configs:
      - {{source_labels: [__meta_caster_id], target_label: node}}
      - {{source_labels: [__meta_caster_meta_zone], target_label: zone}}
"""


def test_metrics_are_accepted_without_remark(web: Web) -> None:
    promtool = program("promtool")
    web.node('a "quoted\\ id')
    web.wait_for(1)
    metrics = web.get("metrics")
    done = subprocess.run([promtool, "check", "metrics"], input=metrics, capture_output=True, timeout=DEADLINE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), done.stderr.decode()


def test_prometheus_finds_nodes_and_counts_them(web: Web, tmp_path: Path) -> None:
    prometheus = program("prometheus")
    place = urllib.parse.urlsplit(web.url).netloc
    web.node("web", "--meta", "type=http", "--meta", f"port={place.split(':')[1]}", "--meta", "zone=a b")
    web.node("db", "--meta", "type=db", "--meta", "port=1")
    web.wait_for(2)
    (tmp_path / "prometheus.yml").write_text(CONFIGURATION.format(place=place))
    listen = f"127.0.0.1:{web.group + 500}"
    web.start(
        "sh",
        "-c",
        'exec "$0" "$@" 2>/dev/null',
        prometheus,
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={listen}",
        "--log.level=error",
    )

    def ask(path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://{listen}/api/v1/{path}", timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def query(text: str) -> Any:
        return (ask(f"query?query={urllib.parse.quote(text)}") or {}).get("result") or None

    (found,) = web.until(lambda: query('up{job="found"} == 1'))
    assert found["metric"]["instance"] == place
    assert (found["metric"]["node"], found["metric"]["zone"]) == ("web", "a b")
    (alive,) = web.until(lambda: query('caster_nodes{job="caster",state="alive"} == 2'))
    assert alive["value"][1] == "2"
    heard = web.until(lambda: query('time() - caster_node_last_heard_timestamp_seconds{job="caster"}'))
    assert {it["metric"]["id"] for it in heard} == {"web", "db"}
    assert all(float(it["value"][1]) < DEADLINE for it in heard)
