"""The chart rendered: by our own small renderer, and by Helm where there is one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import yaml

from deploy.conftest import DEPLOY
from deploy.gotemplate import Refused, Renderer

CHART = DEPLOY / "helm" / "stafett"
Object = dict[str, Any]
Values = dict[str, Any]

NEEDED: Values = {"database": {"existingSecret": "db"}}
EVERYTHING: Values = {
    "image": {"repository": "example/stafett", "tag": "9.9", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "database": {"existingSecret": "db", "key": "address"},
    "bootstrapToken": {"existingSecret": "owner"},
    "settings": {
        "STAFETT_PUBLIC_URL": "https://hooks.example.com",
        "STAFETT_ALLOW_NETWORKS": "10.0.0.0/8",
    },
    "server": {
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "only", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    },
    "dispatch": {"autoscaling": {"enabled": True, "backlogPerReplica": 2_000_000}},
    "service": {"annotations": {"balancer": "plain"}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"proxy": "plain"},
        "tlsSecret": "certificate",
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
}


def defaults() -> Values:
    return yaml.safe_load((CHART / "values.yaml").read_text())


def description() -> Object:
    return yaml.safe_load((CHART / "Chart.yaml").read_text())


def merged(below: Values, above: Values) -> Values:
    """As Helm lays values over others: tables are merged, everything else is replaced."""
    result = dict(below)
    for name, value in above.items():
        there = result.get(name)
        if isinstance(there, dict) and isinstance(value, dict):
            result[name] = merged(cast("Values", there), cast("Values", value))
        else:
            result[name] = value
    return result


def texts(values: Values, *, release: str = "relay") -> dict[str, str]:
    """What our renderer makes of each file. Errors: Refused."""
    chart = description()
    folder = CHART / "templates"
    renderer = Renderer({path.name: path.read_text() for path in folder.iterdir()})
    root = {
        "Values": merged(defaults(), values),
        "Chart": {
            "Name": chart["name"],
            "Version": chart["version"],
            "AppVersion": chart["appVersion"],
        },
        "Release": {"Name": release, "Namespace": "hooks", "Service": "Helm"},
    }
    return {
        path.name: renderer.render(path.name, root)
        for path in folder.iterdir()
        if path.suffix != ".tpl"
    }


def by_ours(values: Values, folder: Path) -> list[Object]:
    """The objects, by our own renderer. Errors: Refused."""
    del folder
    rendered = texts(values)
    return _objects("\n---\n".join(rendered[name] for name in rendered if name != "NOTES.txt"))


def by_helm(values: Values, folder: Path) -> list[Object]:
    """The objects, by Helm. Errors: Refused."""
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    words = ("helm", "template", "relay", str(CHART), "--values", str(path))
    done = subprocess.run(
        (*words, "--namespace", "hooks", "--kube-version", "1.30.0"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise Refused(done.stderr)
    return _objects(done.stdout)


def _objects(text: str) -> list[Object]:
    found = [each for each in yaml.safe_load_all(text) if each is not None]
    return sorted(found, key=lambda each: (each["kind"], each["metadata"]["name"]))


Render = Callable[[Values, Path], list[Object]]
RENDERERS: dict[str, Render] = {"ours": by_ours}
if shutil.which("helm"):
    RENDERERS["helm"] = by_helm
