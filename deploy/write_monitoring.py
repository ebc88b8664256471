"""Wraps the rules of Prometheus and Grafana's dashboard into objects of Kubernetes.

`python -m deploy.write_monitoring` writes `k8s/components/monitoring` anew. Kustomize reads no file
outside a kustomization's folder, so the component has copies, and a test compares them.
"""

import sys

from deploy.release.version import ROOT

RULES = ROOT / "deploy/prometheus/rules/expofuse.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboards/expofuse.json"
COMPONENT = ROOT / "k8s/components/monitoring"

RULES_NAME = "prometheus-rule.yaml"
DASHBOARD_NAME = "expofuse.json"

KUSTOMIZATION = f"""\
# Written by `python -m deploy.write_monitoring`. For the Prometheus operator, and a Grafana whose
# sidecar looks for ConfigMaps with the label grafana_dashboard.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component

resources:
  - {RULES_NAME}
  - service-monitor.yaml

configMapGenerator:
  - name: expofuse-dashboard
    files:
      - {DASHBOARD_NAME}
    options:
      # Nothing refers to it by its name, and the sidecar reads a changed one.
      disableNameSuffixHash: true
      labels:
        grafana_dashboard: "1"
"""
RULE_HEAD = """\
# Written by `python -m deploy.write_monitoring` from deploy/prometheus/rules/expofuse.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: expofuse
  labels:
    app.kubernetes.io/name: expofuse
spec:
"""


def make_component() -> dict[str, str]:
    """The files of the component that are written, by their names."""
    rules = RULES.read_text().splitlines(keepends=True)
    return {
        "kustomization.yaml": KUSTOMIZATION,
        RULES_NAME: RULE_HEAD + "".join(f"  {line}" if line.strip() else line for line in rules),
        DASHBOARD_NAME: DASHBOARD.read_text(),
    }


def main() -> None:
    """Write the files."""
    for name, text in make_component().items():
        (COMPONENT / name).write_text(text)
        sys.stdout.write(f"{(COMPONENT / name).relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
