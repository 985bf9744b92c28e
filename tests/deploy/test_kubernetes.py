"""The manifests are what Kubernetes takes, and say nothing that the server and its settings do not know.

No cluster is here. Kubernetes' own objects are held against its schemas, of two releases; those of KEDA against the
fields we use of it, listed here by hand.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retell_ws import calls, consuming, outbox, scribe, server
from retell_ws.__main__ import app, main
from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.deploy.kubernetes import manifests
from retell_ws.errors import UsageError
from retell_ws.models.scripted import ScriptedModel
from retell_ws.route import PREFIX
from retell_ws.settings import Settings, load
from tests.http_client import http, status

yaml = pytest.importorskip("yaml")
kubernetes_validate = pytest.importorskip("kubernetes_validate")

RELEASES = ("1.31", "1.37")

IMAGE = "registry.example/agent@sha256:" + "0" * 64
RULES = files("retell_ws.examples").joinpath("rules.toml").read_text("utf-8")

VARIANTS: dict[str, dict[str, Any]] = {
    "distributed": {},
    "distributed, all": {
        "namespace": "voice",
        "host": "voice.example.com",
        "servers": 1,
        "max_servers": 1,
        "max_calls": 1,
        "drain_s": 0,
        "redis_url_secret": "redis/url",
        "keda": False,
    },
    "events": {"kafka": "kafka:9092"},
    "events, all": {
        "namespace": "voice",
        "host": "voice.example.com",
        "kafka": "a.example:9092,b.example:9092",
        "kafka_secret": "kafka-client",
        "rules": RULES,
        "storage_class": "fast",
        "redis_url_secret": "redis/url",
        "servers": 5,
        "max_servers": 50,
        "max_calls": 400,
        "drain_s": 86_400,
    },
    "events, in a bucket": {
        "kafka": "kafka:9092",
        "archive": "s3://bucket/prefix",
        "rules": RULES,
        "host": "a.example",
    },
    "events, no KEDA": {"kafka": "kafka:9092", "kafka_secret": "k", "rules": RULES, "keda": False},
    "events, with settings of somebody's": {
        "kafka": "kafka:9092",
        "rules": RULES,
        "drain_s": 20,
        "settings": {
            "model": "scripted",
            "model_name": 'claude: "x" # @model@ $(X) é',
            "speculate": "False",
            "drain_delay_s": "400.5",
            "kafka_prefix": "voice.",
            "kafka_partitions": "7",
        },
    },
    "names that YAML would read as something else": {
        "namespace": "123",
        "host": "1.null",
        "tls_secret": "true",
        "ingress_class": "null",
        "ingress_namespace": "1e3",
        "monitoring_namespace": "0x1",
        "redis_url_secret": "no/123",
        "kafka": "1:2",
        "kafka_secret": "5",
        "storage_class": "1.5",
        "rules": RULES,
    },
}

Thing: TypeAlias = dict[str, Any]
Everything: TypeAlias = list[Thing]


_Once: Any = type("_Once", (yaml.SafeLoader,), {"__doc__": "A loader that does not take the same key twice."})


def _mapping(loader: Any, node: Any) -> Thing:
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"a key twice: {keys}"
    return dict(yaml.SafeLoader.construct_mapping(loader, node, deep=True))


_Once.add_constructor("tag:yaml.org,2002:map", _mapping)


def things(**given: Any) -> Everything:
    written = manifests(IMAGE, **given)
    return [thing for text in written.values() for thing in yaml.load_all(text, _Once)]


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.fixture
def everything(variant: dict[str, Any]) -> Everything:
    return things(**variant)


def of(everything: Everything, *kinds: str) -> dict[str, Thing]:
    return {each["metadata"]["name"]: each for each in everything if each["kind"] in kinds}


def workloads(everything: Everything) -> dict[str, Thing]:
    return of(everything, "Deployment", "StatefulSet")


def container(workload: Thing) -> Thing:
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(only)


def labels(workload: Thing) -> dict[str, str]:
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def selects(selector: dict[str, str], workload: Thing) -> bool:
    return selector.items() <= labels(workload).items()


def environment(everything: Everything, workload: Thing) -> dict[str, str]:
    """What a container gets; in place of a secret there is its name."""
    found: dict[str, str] = {}
    for source in container(workload)["envFrom"]:
        if "configMapRef" in source:
            found |= of(everything, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    for each in container(workload).get("env", ()):
        found[each["name"]] = each.get("value") or "redis://secret:6379"
    return found


def comments(texts: dict[str, str]) -> str:
    lines = chain.from_iterable(text.splitlines() for text in texts.values())
    return "\n".join(line.strip().removeprefix("#") for line in lines if line.strip().startswith("#"))


# ---------------------------------------------------------------------------- what Kubernetes takes


def test_kubernetes_takes_all_of_it(everything: Everything) -> None:
    for thing in everything:
        if "keda" not in thing["apiVersion"]:
            for release in RELEASES:
                assert kubernetes_validate.validate(thing, release, strict=True) == release


def test_the_schemas_would_refuse_what_is_wrong() -> None:
    thing = next(each for each in things() if each["kind"] == "Deployment")
    thing["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(thing, RELEASES[0], strict=True)


def test_each_thing_has_a_name_of_its_own_and_is_where_it_was_to_be(
    everything: Everything, variant: dict[str, Any]
) -> None:
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in everything]
    assert len(names) == len(set(names))
    for thing in everything:
        if thing["kind"] == "Namespace":
            assert thing["metadata"]["name"] == variant["namespace"]
        else:
            assert thing["metadata"].get("namespace") == variant.get("namespace")
            assert thing["metadata"]["labels"]["app.kubernetes.io/name"] == "retell-ws"


def test_a_namespace_comes_first_and_what_pods_need_before_them(variant: dict[str, Any]) -> None:
    names = list(manifests(IMAGE, **variant))
    assert names == sorted(names), "the order in which kubectl applies a folder"
    kinds = [thing["kind"] for thing in things(**variant)]
    assert ("Namespace" in kinds) is ("namespace" in variant)
    assert kinds.index("ConfigMap") < min(kinds.index(kind) for kind in kinds if kind in ("Deployment", "StatefulSet"))


# ---------------------------------------------------------------------------- what refers to what


def test_selectors_choose_the_pods_they_are_for(everything: Everything) -> None:
    all_of_them = workloads(everything)
    for name, workload in all_of_them.items():
        selector = workload["spec"]["selector"]["matchLabels"]
        assert [other for other, each in all_of_them.items() if selects(selector, each)] == [name]
        for constraint in workload["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            assert constraint["labelSelector"]["matchLabels"] == selector
            assert constraint["whenUnsatisfiable"] == "ScheduleAnyway", "a call is worth more than where it is"
    consumers = {name for name in all_of_them if name != "retell-ws-server"}
    for kind, of_it in (("Service", "selector"), ("NetworkPolicy", "podSelector"), ("PodDisruptionBudget", "selector")):
        for name, thing in of(everything, kind).items():
            selector = thing["spec"][of_it]
            selector = selector.get("matchLabels", selector)
            chosen = {other for other, each in all_of_them.items() if selects(selector, each)}
            assert chosen == (consumers if name == "retell-ws-consumer" else {"retell-ws-server"}), f"{kind} {name}"


def test_what_is_named_is_there(everything: Everything) -> None:
    claims = set(of(everything, "PersistentVolumeClaim"))
    maps = set(of(everything, "ConfigMap"))
    services = of(everything, "Service")
    for workload in workloads(everything).values():
        spec = workload["spec"]["template"]["spec"]
        mounted = [mount["name"] for mount in container(workload)["volumeMounts"]]
        own = [each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", ())]
        assert sorted(mounted) == sorted([*own, *(each["name"] for each in spec["volumes"])])
        for volume in spec["volumes"]:
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
        if workload["kind"] == "StatefulSet":
            assert services[workload["spec"]["serviceName"]]["spec"]["clusterIP"] == "None"
    assert claims == {
        volume["persistentVolumeClaim"]["claimName"]
        for workload in workloads(everything).values()
        for volume in workload["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    targets = {(each["kind"], name) for name, each in workloads(everything).items()}
    for scaler in of(everything, "HorizontalPodAutoscaler").values():
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in targets
    authentications = set(of(everything, "TriggerAuthentication"))
    for scaled in of(everything, "ScaledObject").values():
        assert ("Deployment", scaled["spec"]["scaleTargetRef"]["name"]) in targets
        for trigger in scaled["spec"]["triggers"]:
            assert {trigger["authenticationRef"]["name"]} == authentications if authentications else True


def test_ports_have_one_number_from_the_settings_to_the_outside(everything: Everything) -> None:
    workload = workloads(everything)["retell-ws-server"]
    settings = load(environment=environment(everything, workload))
    ports = {port["name"]: port["containerPort"] for port in container(workload)["ports"]}
    assert ports == {"calls": settings.port, "http": settings.http_port}
    for service in of(everything, "Service").values():
        for port in service["spec"]["ports"]:
            assert (port["name"], port["port"]) == (port["targetPort"], ports[port["targetPort"]])
    for policy in of(everything, "NetworkPolicy").values():
        for rule in policy["spec"]["ingress"]:
            assert {port["port"] for port in rule["ports"]} <= set(ports)
    annotations = workload["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(settings.http_port)
    assert settings.host == settings.http_host == "0.0.0.0"


def test_calls_and_webhooks_come_in_and_nothing_else(everything: Everything, variant: dict[str, Any]) -> None:
    ways = {}
    for ingress in of(everything, "Ingress").values():
        (rule,) = ingress["spec"]["rules"]
        (path,) = rule["http"]["paths"]
        assert rule["host"] == variant["host"] and ingress["spec"]["tls"][0]["hosts"] == [variant["host"]]
        service = path["backend"]["service"]
        ways[path["path"], path["pathType"]] = service["name"], service["port"]["name"]
        ports = of(everything, "Service")[service["name"]]["spec"]["ports"]
        assert service["port"]["name"] in [port["name"] for port in ports]
        annotations = ingress["metadata"]["annotations"]
        assert annotations["nginx.ingress.kubernetes.io/enable-access-log"] == "false", "paths hold the secret"
        assert "http_503" in annotations["nginx.ingress.kubernetes.io/proxy-next-upstream"]
        if path["path"] == PREFIX:
            assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) >= 2 * 3600
    expected = {
        (PREFIX, "Prefix"): ("retell-ws", "calls"),
        ("/webhook", "Exact"): ("retell-ws-servers", "http"),
    }
    assert ways == (expected if "host" in variant else {})
    assert of(everything, "Service")["retell-ws-servers"]["spec"]["publishNotReadyAddresses"] is True


def test_the_second_port_is_for_those_who_bring_webhooks_and_for_prometheus(
    everything: Everything, variant: dict[str, Any]
) -> None:
    def may_come(port: str) -> list[Any]:
        rules = of(everything, "NetworkPolicy")["retell-ws-server"]["spec"]["ingress"]
        open_to = [rule.get("from") for rule in rules if {"port": port} in rule["ports"]]
        return [peers and [peer["namespaceSelector"]["matchLabels"] for peer in peers] for peers in open_to]

    ingress, monitoring = (
        {"kubernetes.io/metadata.name": variant.get(f"{name}_namespace", usual)}
        for name, usual in (("ingress", "ingress-nginx"), ("monitoring", "monitoring"))
    )
    assert may_come("http") == [[ingress, monitoring]]
    assert may_come("calls") == [[ingress] if "host" in variant else None], "without an Ingress nobody says by what"


# ---------------------------------------------------------------------------- what runs in a pod


def test_every_variable_is_a_setting_and_the_settings_are_those_asked_for(
    everything: Everything, variant: dict[str, Any]
) -> None:
    for name, workload in workloads(everything).items():
        inside = environment(everything, workload)
        assert {each.removeprefix("RETELL_WS_").lower() for each in inside} <= set(Settings.__struct_fields__)
        settings = load(environment={**inside, "RETELL_WS_REDIS_URL": "redis://secret:6379"})
        assert settings.kafka_bootstrap == variant.get("kafka", "")
        assert settings.blueprint == ("events" if "kafka" in variant else "distributed")
        assert settings.archive == variant.get("archive", "")
        assert settings.max_calls == variant.get("max_calls", 200)
        assert settings.is_shared() and not settings.starts_consumers()
        mounts = {each["name"]: each["mountPath"] for each in container(workload)["volumeMounts"]}
        if "kafka" in variant:
            assert settings.data_folder() in mounts.values()
        for file, volume in ((settings.kafka_config, "kafka"), (settings.rules, "rules")):
            assert (volume in mounts) is bool(file)
            assert not file or str(Path(file).parent) == mounts[volume]
        assert bool(settings.rules) is (name == "retell-ws-escalation")


def test_settings_of_somebody_s_are_those_of_all_pods() -> None:
    more = VARIANTS["events, with settings of somebody's"]["settings"]
    everything = things(**VARIANTS["events, with settings of somebody's"])
    for workload in workloads(everything).values():
        settings = load(environment=environment(everything, workload))
        assert {name: str(getattr(settings, name)) for name in more} == more
    for scaled in of(everything, "ScaledObject").values():
        assert scaled["spec"]["maxReplicaCount"] == 7
        for trigger in scaled["spec"]["triggers"]:
            assert trigger["metadata"]["topic"].startswith("voice.")
            assert trigger["metadata"]["consumerGroup"].startswith("voice.")


def test_our_command_line_takes_what_containers_run(everything: Everything) -> None:
    for name, workload in workloads(everything).items():
        arguments = container(workload)["args"]
        assert "command" not in container(workload), "the image's entry point is ours"
        command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
        assert command.__name__ == arguments[0] == ("serve" if name == "retell-ws-server" else "consume")
        assert bound.args == tuple(arguments[1:])
        assert name in ("retell-ws-server", f"retell-ws-{arguments[1]}")


def test_a_container_can_do_little(everything: Everything) -> None:
    for workload in workloads(everything).values():
        spec = workload["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
        assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
        can = container(workload)["securityContext"]
        assert can["readOnlyRootFilesystem"] and not can["allowPrivilegeEscalation"]
        assert can["capabilities"] == {"drop": ["ALL"]}
        resources = container(workload)["resources"]
        assert "memory" in resources["limits"] and "cpu" not in resources["limits"]


def test_a_server_has_the_time_it_takes_to_drain(everything: Everything) -> None:
    workload = workloads(everything)["retell-ws-server"]
    settings = load(environment=environment(everything, workload))
    wait_s = int(container(workload)["lifecycle"]["preStop"]["exec"]["command"][1])
    longest = wait_s + max(settings.drain_s, settings.drain_delay()) + 2 * calls.LAST_TURN_S + calls.SPREAD_S
    longest += calls.LASTING_S + calls.CLOSE_S + server.CLOSE_S + scribe.LAST_TRY_S + outbox.LEAVE_S + consuming.LEAVE_S
    assert workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > longest


def test_calls_of_an_hour_are_waited_for_unless_said_otherwise() -> None:
    workload = workloads(things())["retell-ws-server"]
    assert workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 3700


def test_a_journal_outlives_its_server_and_without_one_a_new_server_comes_first() -> None:
    events = workloads(things(kafka="kafka:9092"))["retell-ws-server"]
    assert events["kind"] == "StatefulSet"
    (claim,) = events["spec"]["volumeClaimTemplates"]
    (mount,) = (each for each in container(events)["volumeMounts"] if each["name"] == claim["metadata"]["name"])
    assert mount["mountPath"] == "/data"
    assert set(events["spec"]["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}
    room = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 1024
    assert room > 2 * Settings().journal_mb
    shared = workloads(things())["retell-ws-server"]
    assert shared["kind"] == "Deployment"
    assert shared["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


async def test_probes_and_metrics_are_those_of_a_real_server(everything: Everything) -> None:
    workload = workloads(everything)["retell-ws-server"]
    agent = Agent("You are Ana.", greeting="Hi.")
    settings = Settings(port=0, http_port=0)
    async with running(agent, settings, model=ScriptedModel(ttft_ms=1, spacing_ms=1)) as ready:
        ports = {"calls": ready.address, "http": ready.http_address}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container(workload)[probe]["httpGet"]
            assert status(await http(ports[asked["port"]], asked["path"])) == 200
        path = workload["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"]
        metrics = await http(ports["http"], path)
        (scaler,) = of(everything, "HorizontalPodAutoscaler").values()
        (metric,) = scaler["spec"]["metrics"]
        assert f"\n{metric['pods']['metric']['name']} 0.0" in metrics
        ready.move_calls()
        readiness = container(workload)["readinessProbe"]["httpGet"]
        liveness = container(workload)["livenessProbe"]["httpGet"]
        assert status(await http(ports[readiness["port"]], readiness["path"])) == 503
        assert status(await http(ports[liveness["port"]], liveness["path"])) == 200, "a server that drains lives"


# ---------------------------------------------------------------------------- how many there are


def test_servers_come_in_time_and_leave_slowly(everything: Everything, variant: dict[str, Any]) -> None:
    (scaler,) = of(everything, "HorizontalPodAutoscaler").values()
    spec = scaler["spec"]
    assert spec["minReplicas"] == variant.get("servers", 3)
    assert spec["maxReplicas"] == variant.get("max_servers", 12) >= spec["minReplicas"]
    max_calls = variant.get("max_calls", 200)
    aim = int(spec["metrics"][0]["pods"]["target"]["averageValue"])
    assert 1 <= aim <= max_calls and (max_calls < 10 or aim * 3 / 2 <= max_calls), "two of three can have all calls"
    assert spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    down = spec["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 1800
    assert all(policy["type"] == "Pods" and policy["value"] == 1 for policy in down["policies"])
    assert "replicas" not in workloads(everything)["retell-ws-server"]["spec"]
    (budget,) = of(everything, "PodDisruptionBudget").values()
    assert budget["spec"]["maxUnavailable"] == 1


def test_the_rule_of_the_adapter_gives_the_metric_that_is_asked_for() -> None:
    lines = comments({"": manifests(IMAGE)["50-scaling.yaml"]}).splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip() == "rules:")
    last = next(number for number, line in enumerate(lines) if "metricsQuery" in line)
    (rule,) = yaml.safe_load("\n".join(lines[first : last + 1]))["rules"]["custom"]
    (scaler,) = of(things(), "HorizontalPodAutoscaler").values()
    assert re.match(r"\w+", rule["seriesQuery"])[0] == scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]  # type: ignore[index]
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}


def test_consumers_are_as_many_as_their_lag_asks_for() -> None:
    everything = things(kafka="a:1,b:1", rules=RULES)
    settings = Settings()
    scaled = of(everything, "ScaledObject")
    assert set(scaled) == {"retell-ws-analytics", "retell-ws-archive", "retell-ws-escalation"}
    for name, thing in scaled.items():
        consumer = name.removeprefix("retell-ws-")
        assert set(thing["spec"]) == {
            *("scaleTargetRef", "pollingInterval", "minReplicaCount", "maxReplicaCount", "advanced", "triggers")
        }
        assert 1 <= thing["spec"]["minReplicaCount"] <= thing["spec"]["maxReplicaCount"] == settings.kafka_partitions
        topics = set()
        for trigger in thing["spec"]["triggers"]:
            assert trigger["type"] == "kafka"
            told = trigger["metadata"]
            assert all(isinstance(value, str) for value in told.values()), "KEDA takes nothing but strings here"
            assert set(told) == {
                *("bootstrapServers", "consumerGroup", "topic", "lagThreshold", "offsetResetPolicy", "version")
            }
            assert told["bootstrapServers"] == "a:1,b:1"
            assert told["consumerGroup"] == f"{settings.kafka_prefix}{consumer}"
            assert int(told["lagThreshold"]) > 0
            topics.add(told["topic"].removeprefix(settings.kafka_prefix))
        assert topics == ({"facts", "transcripts"} if consumer == "archive" else {"facts"})
        assert "replicas" not in workloads(everything)[name]["spec"]


def test_without_keda_there_is_a_number() -> None:
    everything = things(kafka="kafka:9092", kafka_secret="k", rules=RULES, keda=False)
    assert not of(everything, "ScaledObject", "TriggerAuthentication")
    replicas = {name: each["spec"].get("replicas") for name, each in workloads(everything).items()}
    del replicas["retell-ws-server"]
    assert replicas == {"retell-ws-analytics": 1, "retell-ws-archive": 1, "retell-ws-escalation": 2}


def test_keda_shows_kafka_the_secret_that_is_named() -> None:
    (shown,) = of(things(kafka="kafka:9092", kafka_secret="client"), "TriggerAuthentication").values()
    assert shown["spec"] == {
        "secretTargetRef": [
            {"parameter": name, "name": "client", "key": name} for name in ("sasl", "tls", "username", "password")
        ]
    }


def test_escalation_is_there_with_rules_alone_and_keeps_their_text() -> None:
    assert "retell-ws-escalation" not in workloads(things(kafka="kafka:9092"))
    everything = things(kafka="kafka:9092", rules=RULES)
    assert of(everything, "ConfigMap")["retell-ws-rules"]["data"] == {"rules.toml": RULES}
    assert "retell-ws-escalation" in workloads(everything)


# ---------------------------------------------------------------------------- secrets


def mentioned(everything: Everything) -> Iterator[tuple[str, str | None]]:
    """Name every Secret that a pod or KEDA reads, and its key where one is named."""
    for workload in workloads(everything).values():
        for source in container(workload)["envFrom"]:
            if "secretRef" in source:
                yield source["secretRef"]["name"], None
        for each in container(workload).get("env", ()):
            if "valueFrom" in each:
                yield each["valueFrom"]["secretKeyRef"]["name"], each["valueFrom"]["secretKeyRef"]["key"]
        for volume in workload["spec"]["template"]["spec"]["volumes"]:
            if "secret" in volume:
                for item in volume["secret"]["items"]:
                    yield volume["secret"]["secretName"], item["key"]
    for thing in of(everything, "TriggerAuthentication").values():
        for each in thing["spec"]["secretTargetRef"]:
            yield each["name"], each["key"]


def test_no_secret_is_in_the_files_and_it_is_said_how_each_is_made(variant: dict[str, Any]) -> None:
    texts = manifests(IMAGE, **variant)
    everything = things(**variant)
    assert not of(everything, "Secret")
    said = comments(texts)
    made: dict[str, set[str]] = {}
    for name, rest in re.findall(r"create secret generic (\S+) ((?:.*\\\n)*.*)", said):
        made[name] = set(re.findall(r"--from-literal=([^=]+)=", rest)) | set(re.findall(r"--from-file=(\S+)", rest))
    for name, key in mentioned(everything):
        if name == variant.get("redis_url_secret", "").partition("/")[0]:
            continue  # somebody else's
        assert name in made, f"nobody says how {name} is made"
        assert key is None or key in made[name]
    assert {"ANTHROPIC_API_KEY", "RETELL_API_KEY"} <= made["retell-ws"]
    ours = {name.removeprefix("RETELL_WS_").lower() for name in made["retell-ws"] if name.startswith("RETELL_WS_")}
    assert ours <= set(Settings.__struct_fields__)
    for workload in workloads(everything).values():
        inside = environment(everything, workload)
        assert not {"RETELL_WS_PATH_SECRET", "RETELL_WS_ADMIN_TOKEN", "ANTHROPIC_API_KEY"} & set(inside)


def test_only_who_needs_the_keys_gets_them() -> None:
    for name, workload in workloads(things(kafka="kafka:9092", archive="s3://b", rules=RULES)).items():
        got = {source["secretRef"]["name"] for source in container(workload)["envFrom"] if "secretRef" in source}
        assert ("retell-ws" in got) is (name in ("retell-ws-server", "retell-ws-escalation"))
        assert ("retell-ws-archive" in got) is (name != "retell-ws-server")


# ---------------------------------------------------------------------------- what is given


Writing: TypeAlias = Callable[[], dict[str, str]]


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda: manifests(""), "--image: ''"),
        (lambda: manifests("a b"), "--image: 'a b'"),
        (lambda: manifests('x"\n'), "--image:"),
        (lambda: manifests("x\n"), "--image:"),
        (lambda: manifests("x", agent='a.py"]'), "--agent:"),
        (lambda: manifests("x", agent="--port"), "--agent:"),
        (lambda: manifests("x", namespace="A"), "--namespace: 'A' cannot"),
        (lambda: manifests("x", namespace="a" * 64), "--namespace:"),
        (lambda: manifests("x", host="localhost"), "--host:"),
        (lambda: manifests("x", host="a.example: 1"), "--host:"),
        (lambda: manifests("x", tls_secret=""), "--tls-secret:"),
        (lambda: manifests("x", redis_url_secret="redis"), "--redis-url-secret:"),
        (lambda: manifests("x", kafka="kafka"), "--kafka: 'kafka'"),
        (lambda: manifests("x", kafka="kafka:1,"), "--kafka:"),
        (lambda: manifests("x", kafka="a:1", archive="/data"), "--archive:"),
        (lambda: manifests("x", kafka="a:1", kafka_secret="a/b"), "--kafka-secret:"),
        (lambda: manifests("x", storage_class="@"), "--storage-class:"),
        (lambda: manifests("x", archive="s3://b"), "--archive: without --kafka"),
        (lambda: manifests("x", rules=RULES), "--rules: without --kafka"),
        (lambda: manifests("x", kafka_secret="k"), "--kafka-secret: without --kafka"),
        (lambda: manifests("x", servers=0), "--servers: 0 is too few"),
        (lambda: manifests("x", max_calls=0), "--max-calls: 0 is too few"),
        (lambda: manifests("x", drain_s=-1), "--drain-s: -1"),
        (lambda: manifests("x", drain_s=86_401), "--drain-s: at most a day"),
        (lambda: manifests("x", servers=5, max_servers=4), "--max-servers: fewer"),
        (lambda: manifests("x", settings={"model_name": "a\u2028b"}), "model_name: there is a character"),
        (lambda: manifests("x", settings={"kafka_prefix": 'a"'}), "kafka_prefix: 'a\"' cannot stand"),
        (lambda: manifests("x", kafka="a:1", rules="rules = ["), "--rules: no TOML"),
        (lambda: manifests("x", kafka="a:1", rules="# \u2028"), "--rules: there is a character"),
    ],
)
def test_only_what_a_manifest_may_hold_gets_in(write: Writing, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        write()
    assert words in str(caught.value)


_LINES = st.text(st.characters(categories=["L", "N", "P", "S", "Zs", "Mn"], include_characters="\t\n"), max_size=60)


@given(_LINES)
@example("\n\n  x")
@example("---\n...\n")
@example("\t#\n \t\n")
def test_rules_are_read_as_they_were_written(text: str) -> None:
    rules = "# begin\n" + "".join(f"  # {line}\n" for line in text.split("\n")) + "x = '''\n   y'''\n"
    try:
        everything = things(kafka="a:1", rules=rules)
    except UsageError as exc:
        assert "cannot be printed" in str(exc)
        return
    assert of(everything, "ConfigMap")["retell-ws-rules"]["data"]["rules.toml"] == rules


def test_other_settings_or_rules_are_other_pods() -> None:
    def mark(**given: Any) -> str:
        workload = workloads(things(kafka="a:1", **given))["retell-ws-server"]
        return str(workload["spec"]["template"]["metadata"]["annotations"]["retell-ws/settings"])

    assert mark() == mark() and mark(servers=9) == mark()
    assert len({mark(), mark(max_calls=7), mark(rules=RULES)}) == 3


# ---------------------------------------------------------------------------- the command


async def test_the_command_writes_a_folder_or_one_stream(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    await asyncio.to_thread(rules.write_text, RULES)
    given = ["kubernetes", "--image", IMAGE, "--kafka", "a:1", "--rules", str(rules), "--host", "a.example"]
    with pytest.raises(SystemExit) as caught:
        main(given)
    assert caught.value.code == 0
    everything = things(kafka="a:1", rules=RULES, host="a.example")
    assert list(yaml.load_all(capsys.readouterr().out, _Once)) == everything
    out = tmp_path / "new" / "folder"
    with pytest.raises(SystemExit) as caught:
        main([*given, "--no-keda", "--out", str(out)])
    assert caught.value.code == 0 and capsys.readouterr().out == ""
    written = {file.name: file.read_text() for file in out.iterdir()}
    assert written == manifests(IMAGE, kafka="a:1", rules=RULES, host="a.example", keda=False)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--out", "{tmp}/file/folder"], "cannot write"),
        (["--rules", "{tmp}/nothing"], "cannot read"),
        (["--rules", "{tmp}/binary", "--kafka", "a:1"], "no text in UTF-8"),
        (["--rules", "{tmp}/file", "--kafka", "a:1"], "holds no rule"),
        (["--kafka", "a"], "cannot stand in a manifest"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    more: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(SystemExit) as caught:
        main(["kubernetes", "--image", "x", *(each.replace("{tmp}", str(tmp_path)) for each in more)])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
