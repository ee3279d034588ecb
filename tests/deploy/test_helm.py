"""The chart: what Kubernetes would be given, with everything off and with everything on."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

import stafett
from deploy import charts
from deploy.charts import EVERYTHING, NEEDED, RENDERERS, Object, Render, Values
from deploy.gotemplate import Refused, Renderer
from stafett import settings

_RESTRICTED_VOLUMES = {"emptyDir", "secret", "configMap", "projected"}
_WORKLOADS = {"Deployment", "Job"}


@pytest.fixture(params=RENDERERS)
def render(request: pytest.FixtureRequest) -> Render:
    return RENDERERS[request.param]


@pytest.fixture(params=["needed", "everything"])
def values(request: pytest.FixtureRequest) -> Values:
    return NEEDED if request.param == "needed" else EVERYTHING


@pytest.fixture
def objects(render: Render, values: Values, tmp_path: Path) -> list[Object]:
    return render(values, tmp_path)


def workloads(objects: list[Object]) -> list[Object]:
    return [each for each in objects if each["kind"] in _WORKLOADS]


def one(objects: list[Object], kind: str, name: str) -> Object:
    [found] = [
        each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name
    ]
    return found


def pod_of(workload: Object) -> Object:
    return workload["spec"]["template"]["spec"]


def container_of(workload: Object) -> Object:
    [container] = pod_of(workload)["containers"]
    return container


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


# --- values -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> jsonschema_rs.Validator:
    document = json.loads((charts.CHART / "values.schema.json").read_text())
    jsonschema_rs.meta.validate(document)
    return jsonschema_rs.validator_for(document)


@pytest.mark.parametrize("given", [{}, NEEDED, EVERYTHING], ids=["none", "needed", "everything"])
def test_the_schema_takes_what_is_meant(schema: jsonschema_rs.Validator, given: Values) -> None:
    schema.validate(charts.merged(charts.defaults(), given))


@pytest.mark.parametrize(
    "given",
    [
        {"server": {"replica": 2}},
        {"server": {"replicas": "2"}},
        {"server": {"terminationGracePeriodSeconds": 0}},
        {"server": {"podDisruptionBudget": {"maxUnavailable": 0}}},
        {"dispatch": {"autoscaling": {"minReplicas": 0}}},
        {"database": {"url": "postgresql://user:password@host/database"}},
        {"database": {"existingSecret": "Not a name"}},
        {"settings": {"PUBLIC_URL": "https://hooks.example.com"}},
        {"settings": {"STAFETT_ATTEMPT_TIMEOUT": 15}},
        {"image": {"repository": ""}},
        {"typo": {}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_would_do_nothing_or_harm(
    schema: jsonschema_rs.Validator, given: Values
) -> None:
    assert not schema.is_valid(charts.merged(charts.defaults(), given))


@pytest.mark.parametrize("spec", settings.SPECS, ids=lambda spec: spec.variable)
def test_a_secret_cannot_stand_among_the_settings(
    schema: jsonschema_rs.Validator, spec: settings.Spec
) -> None:
    """Nor what the chart sets itself."""
    given = charts.merged(charts.defaults(), {"settings": {spec.variable: "value"}})
    taken = not spec.secret and spec.name not in {"host", "port", "data"}
    assert schema.is_valid(given) == taken


def test_the_chart_is_of_the_version_of_the_package() -> None:
    assert charts.description()["appVersion"] == stafett.__version__


def test_without_the_database_it_says_what_to_set(render: Render, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"set database\.existingSecret"):
        render({}, tmp_path)


# --- what is made -----------------------------------------------------------------------------


def test_what_is_off_is_not_made(render: Render, tmp_path: Path) -> None:
    found = render(NEEDED, tmp_path)
    assert [(each["kind"], each["metadata"]["name"]) for each in found] == [
        ("Deployment", "relay-stafett-dispatch"),
        ("Deployment", "relay-stafett-server"),
        ("Job", "relay-stafett-migrate"),
        ("PodDisruptionBudget", "relay-stafett-dispatch"),
        ("PodDisruptionBudget", "relay-stafett-server"),
        ("Service", "relay-stafett"),
        ("Service", "relay-stafett-dispatch"),
    ]


def test_what_is_on_is_made_beside_it(render: Render, tmp_path: Path) -> None:
    off, on = render(NEEDED, tmp_path), render(EVERYTHING, tmp_path)
    kinds = {each["kind"] for each in off}
    assert {each["kind"] for each in on} - kinds == {
        "HorizontalPodAutoscaler",
        "Ingress",
        "ServiceMonitor",
    }


def test_nothing_holds_a_secret(objects: list[Object]) -> None:
    assert "Secret" not in {each["kind"] for each in objects}
    secrets = {spec.variable for spec in settings.SPECS if spec.secret}
    for workload in workloads(objects):
        assert secrets.isdisjoint(each["name"] for each in container_of(workload)["env"])


def test_every_variable_is_a_setting(objects: list[Object], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("postgresql://user:password@host/" + "d" * 32)
    for workload in workloads(objects):
        variables = {each["name"]: each["value"] for each in container_of(workload)["env"]}
        files = {name: str(tmp_path / "secret") for name in variables if name.endswith("_FILE")}
        loaded = settings.load({}, variables | files, tmp_path)
        assert "environment" in loaded.sources.values()


def test_secrets_are_read_where_they_are_mounted(objects: list[Object]) -> None:
    for workload in workloads(objects):
        container = container_of(workload)
        paths = {each["value"] for each in container["env"] if each["name"].endswith("_FILE")}
        volumes = {each["name"]: each for each in pod_of(workload)["volumes"]}
        mounted = {
            f"{mount['mountPath']}/{item['path']}"
            for mount in container["volumeMounts"]
            for item in volumes[mount["name"]].get("secret", {}).get("items", ())
        }
        assert paths == mounted


def test_every_pod_keeps_to_the_restricted_standard(objects: list[Object]) -> None:
    for workload in workloads(objects):
        pod, container = pod_of(workload), container_of(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10_001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
        assert kinds <= _RESTRICTED_VOLUMES


def test_what_is_written_to_is_a_volume(objects: list[Object]) -> None:
    for workload in workloads(objects):
        mounts = {
            each["mountPath"]: each["name"] for each in container_of(workload)["volumeMounts"]
        }
        volumes = {each["name"]: each for each in pod_of(workload)["volumes"]}
        assert "emptyDir" in volumes[mounts["/data"]]
        assert "emptyDir" in volumes[mounts["/tmp"]]
        assert set(mounts.values()) == set(volumes)


def test_a_service_called_stafett_is_not_taken_for_settings(objects: list[Object]) -> None:
    for workload in workloads(objects):
        assert pod_of(workload)["enableServiceLinks"] is False
        assert pod_of(workload)["automountServiceAccountToken"] is False


def test_every_process_says_what_it_needs(objects: list[Object]) -> None:
    for workload in workloads(objects):
        resources = container_of(workload)["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}
        assert "memory" in resources["limits"]


# --- the schema of the database ---------------------------------------------------------------


def test_the_database_is_brought_up_to_date_before_anything_else(objects: list[Object]) -> None:
    job = one(objects, "Job", "relay-stafett-migrate")
    annotations = job["metadata"]["annotations"]

    assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "before-hook-creation" in annotations["helm.sh/hook-delete-policy"]
    assert pod_of(job)["restartPolicy"] == "Never"
    assert container_of(job)["args"] == ["migrate"]


def test_the_job_uses_nothing_that_the_chart_makes(objects: list[Object]) -> None:
    """At the first installation there is nothing yet when it runs."""
    pod = pod_of(one(objects, "Job", "relay-stafett-migrate"))
    assert "serviceAccountName" not in pod
    assert not [each for each in pod["volumes"] if "configMap" in each]
    assert "envFrom" not in pod["containers"][0]


# --- what runs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "verb", "port"), [("server", "serve", 8071), ("dispatch", "dispatch", 8072)]
)
def test_each_deployment_is_one_verb_and_is_watched(
    objects: list[Object], name: str, verb: str, port: int
) -> None:
    deployment = one(objects, "Deployment", f"relay-stafett-{name}")
    container = container_of(deployment)

    assert container["args"][0] == verb
    assert container["args"][-1] == str(port)
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    for probe, path in (("startup", "/health"), ("liveness", "/health"), ("readiness", "/ready")):
        asked = container[f"{probe}Probe"]["httpGet"]
        assert asked == {"path": path, "port": "http"}
    assert pod_of(deployment)["terminationGracePeriodSeconds"] == 90


def test_the_server_sends_nothing(objects: list[Object]) -> None:
    server = one(objects, "Deployment", "relay-stafett-server")
    assert "--no-dispatch" in container_of(server)["args"]


def test_an_upgrade_never_has_fewer_than_before(objects: list[Object]) -> None:
    for deployment in (each for each in objects if each["kind"] == "Deployment"):
        strategy = deployment["spec"]["strategy"]["rollingUpdate"]
        assert strategy == {"maxSurge": 1, "maxUnavailable": 0}


def test_the_image_is_of_the_charts_version_or_the_one_asked_for(
    render: Render, tmp_path: Path
) -> None:
    [usual] = {container_of(each)["image"] for each in workloads(render(NEEDED, tmp_path))}
    [chosen] = {container_of(each)["image"] for each in workloads(render(EVERYTHING, tmp_path))}
    assert (usual, chosen) == (f"stafett:{stafett.__version__}", "example/stafett:9.9")


# --- who finds whom ---------------------------------------------------------------------------


def test_every_selector_finds_the_pods_of_one_deployment(objects: list[Object]) -> None:
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in workloads(objects)
    }
    selectors: dict[str, dict[str, str]] = {}
    for each in objects:
        match each["kind"]:
            case "Deployment" | "PodDisruptionBudget":
                selectors[f"{each['kind']} {each['metadata']['name']}"] = each["spec"]["selector"][
                    "matchLabels"
                ]
            case "Service":
                selectors[f"Service {each['metadata']['name']}"] = each["spec"]["selector"]
            case _:
                pass
    assert len(selectors) == 6
    for name, selector in selectors.items():
        found = [pod for pod, labels in pods.items() if selects(selector, labels)]
        wanted = "dispatch" if name.endswith("dispatch") else "server"
        assert found == [f"relay-stafett-{wanted}"], name


def test_the_monitor_finds_both_services(render: Render, tmp_path: Path) -> None:
    objects = render(EVERYTHING, tmp_path)
    monitor = one(objects, "ServiceMonitor", "relay-stafett")
    selector = monitor["spec"]["selector"]["matchLabels"]
    services = [each for each in objects if each["kind"] == "Service"]

    assert all(selects(selector, each["metadata"]["labels"]) for each in services)
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert all(each["spec"]["ports"][0]["name"] == endpoint["port"] for each in services)
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert services[0]["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "stafett"


def test_the_ingress_leads_to_the_server(render: Render, tmp_path: Path) -> None:
    objects = render(EVERYTHING, tmp_path)
    spec = one(objects, "Ingress", "relay-stafett")["spec"]
    paths = spec["rules"][0]["http"]["paths"]
    [backend] = {json.dumps(each["backend"]["service"]) for each in paths}
    name, port = (json.loads(backend)[key] for key in ("name", "port"))

    assert port == {"name": one(objects, "Service", name)["spec"]["ports"][0]["name"]}
    assert spec["tls"] == [{"secretName": "certificate", "hosts": ["hooks.example.com"]}]


def test_the_ingress_keeps_what_is_for_the_cluster_alone(render: Render, tmp_path: Path) -> None:
    spec = one(render(EVERYTHING, tmp_path), "Ingress", "relay-stafett")["spec"]
    paths = {each["path"]: each["pathType"] for each in spec["rules"][0]["http"]["paths"]}
    asgi = importlib.import_module("stafett.web.asgi")

    assert paths.pop("/") == "Exact"
    assert set(paths.values()) == {"Prefix"}
    inside = {path for path in asgi._PAGES if path != "/" and path not in paths}
    assert inside == asgi._PROBES
    assert {"/admin", "/api", "/in", asgi._CATALOG} <= set(paths)
    assert any(asgi._INGEST.startswith(f"{path}/") for path in paths)


def test_dispatch_grows_with_what_waits(render: Render, tmp_path: Path) -> None:
    objects = render(EVERYTHING, tmp_path)
    deployment = one(objects, "Deployment", "relay-stafett-dispatch")
    spec = one(objects, "HorizontalPodAutoscaler", "relay-stafett-dispatch")["spec"]
    [metric] = spec["metrics"]

    assert spec["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert metric["external"]["metric"]["name"] == "stafett_backlog"
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "2000000"}
    assert "replicas" not in deployment["spec"], "an upgrade would set them back"


# --- what is said -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (NEEDED, "port-forward service/relay-stafett 8071:80"),
        (NEEDED, "exec deployment/relay-stafett-server -- stafett token create NAME"),
        (NEEDED, "STAFETT_PUBLIC_URL is not set"),
        (EVERYTHING, "It answers at https://hooks.example.com/"),
        (EVERYTHING, "the token of the Secret owner"),
    ],
)
def test_the_notes_say_what_comes_next(given: Values, said: str) -> None:
    assert said in charts.texts(given)["NOTES.txt"]


@pytest.mark.parametrize(
    ("release", "more", "name"),
    [
        ("relay", {}, "relay-stafett"),
        ("stafett", {}, "stafett"),
        ("relay", {"nameOverride": "hooks"}, "relay-hooks"),
        ("relay", {"fullnameOverride": "hooks"}, "hooks"),
        ("r" * 53, {}, "r" * 40),
    ],
)
def test_names_follow_the_release(release: str, more: Values, name: str) -> None:
    rendered = charts.texts(NEEDED | more, release=release)["services.yaml"]
    assert f"\n  name: {name}\n" in rendered


# --- the renderer -----------------------------------------------------------------------------


@pytest.mark.parametrize("given", [NEEDED, EVERYTHING], ids=["needed", "everything"])
def test_all_renderers_agree(given: Values, tmp_path: Path) -> None:
    first, *others = [render(given, tmp_path) for render in RENDERERS.values()]
    assert first
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a {{- .x }} b", "a1 b"),
        ("a {{ .x -}} b", "a 1b"),
        ("{{ if .none }}yes{{ else if .x }}second{{ else }}no{{ end }}", "second"),
        ("{{ with .inner }}{{ .y }}{{ $.x }}{{ end }}", "21"),
        ("{{ range $name, $value := .inner }}{{ $name }}={{ $value | quote }}{{ end }}", 'y="2"'),
        ("{{ range .list }}{{ . }}{{ $.x }}{{ end }}", "a1b1"),
        ('{{ define "t" }}<{{ . }}>{{ end }}{{ include "t" .x }}', "<1>"),
        ('{{ default "other" .none | printf "%s-%s" "a" }}', "a-other"),
        ("a\n{{- /* said to nobody */}}\nb", "a\nb"),
    ],
)
def test_the_renderer_does_as_go_does(source: str, text: str) -> None:
    root: dict[str, Any] = {"x": 1, "inner": {"y": 2}, "none": "", "list": ["a", "b"]}
    assert Renderer({"file": source}).render("file", root) == text


@pytest.mark.parametrize(
    "source",
    ["{{ lookup .x }}", "{{ if .x }}a", "{{ end }}", "{{ range .x }}{{ end }}", "{{ .x .x }}"],
)
def test_what_the_renderer_does_not_know_it_refuses(source: str) -> None:
    with pytest.raises(Refused):
        Renderer({"file": source}).render("file", {"x": 1})
