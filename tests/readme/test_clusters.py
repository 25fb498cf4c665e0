"""Recipes for clusters, and what these would reach on paper."""

import ast
import shlex
from typing import Any

import yaml

from bigearth_pipeline.cli.stores.build_shards import build_shards
from tests.readme.text import README, blocks
from tools.bench.build.scaling import table

SECTION = "Several machines"


def _documents() -> dict[str, dict[str, Any]]:
    (block,) = [block for block in blocks("yaml") if block.section == SECTION]
    return {document["kind"]: document for document in yaml.safe_load_all(block.code)}


def test_the_recipe_for_slurm_is_python() -> None:
    """The recipe does not compile, or prints no address of a scheduler."""
    (block,) = [block for block in blocks("python") if block.section == SECTION]
    tree = ast.parse(block.code)
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert calls.count("SLURMCluster") == calls.count("cluster.adapt") == 1
    assert "print(cluster.scheduler_address)" in block.code


def test_the_recipe_for_kubernetes_builds() -> None:
    """A document is no YAML, the job cannot start, or does not find the scheduler or the files of the workers."""
    found = _documents()
    assert sorted(found) == ["DaskAutoscaler", "DaskCluster", "Job"]
    cluster, job = found["DaskCluster"], found["Job"]["spec"]["template"]["spec"]
    name = cluster["metadata"]["name"]
    assert found["DaskAutoscaler"]["spec"]["cluster"] == name
    service = cluster["spec"]["scheduler"]["service"]
    assert service["selector"] == {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
    (container,), worker = job["containers"], cluster["spec"]["worker"]["spec"]
    command = container["command"]
    assert command[:2] == ["bep", "build-shards"]
    options = build_shards.make_context("build-shards", command[2:]).params
    ports = {port["name"]: port["port"] for port in service["ports"]}
    assert options["scheduler"] == f"tcp://{name}-scheduler:{ports['tcp-comm']}"
    assert container["volumeMounts"] == worker["containers"][0]["volumeMounts"]
    assert job["volumes"] == worker["volumes"]
    (begun,) = cluster["spec"]["scheduler"]["spec"]["containers"]
    # Arguments alone would go to the entry point of the image, `bep`.
    assert [each["command"][:2] for each in (begun, *worker["containers"])] == [
        ["dask", "scheduler"],
        ["dask", "worker"],
    ]
    assert not any("args" in each for each in (begun, container, *worker["containers"]))
    # By the resource definition of the operator a number is refused.
    amounts = worker["containers"][0]["resources"].values()
    assert all(type(amount) is str for each in amounts for amount in each.values())
    (mount,) = container["volumeMounts"]
    for path in (*options["sources"], options["out"]):
        assert str(path).startswith(mount["mountPath"]), shlex.join(command)


def test_rates_on_paper_are_those_of_the_records() -> None:
    """The table is of other records than those that it names."""
    assert "\n".join(table()) in README.read_text()
