from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from artifact import ArtifactError
from cluster.commands import ROOT, ClusterError
from cluster.gateway import VISIBILITY, Entrance, find_entrance, predict
from common.kubernetes import Cluster
from tests.cluster.api import FakeApi
from tests.cluster.conftest import Tools

SEVEN = ROOT / "samples" / "seven.png"


def isvc(name: str, *models: str, url: str | None = "http://h.example.com") -> dict[str, Any]:
    arguments = [f"--model={model}" for model in models]
    return {
        "metadata": {"name": name},
        "spec": {"transformer": {"containers": [{"args": arguments}]}},
        "status": {"url": url} if url else {},
    }


def put_service(api: FakeApi, name: str = "kourier", node_port: int = 31080) -> None:
    """A Service that a node's port leads to."""
    address = {"type": "InternalIP", "address": "192.168.49.2"}
    api.put("nodes", {"metadata": {"name": "node"}, "status": {"addresses": [address]}})
    ports = [{"port": 80, "nodePort": node_port}, {"port": 443, "nodePort": 31443}]
    api.put("services", {"metadata": {"name": name}, "spec": {"ports": ports}})


def test_the_one_that_answers_for_the_model(api: FakeApi, cluster: Cluster) -> None:
    api.put("inferenceservices", isvc("a", "fashion-mnist", url="http://a.example.com"))
    api.put("inferenceservices", isvc("b", "mnist", url="http://b.example.com"))
    api.put("inferenceservices", {"metadata": {"name": "c"}, "spec": {"predictor": {}}})
    entrance = find_entrance(cluster, "mnist", "http://10.0.0.1:80/")
    assert entrance == Entrance("http://10.0.0.1:80", {"Host": "b.example.com"})
    assert entrance.predict_url("mnist") == "http://10.0.0.1:80/v1/models/mnist:predict"
    with pytest.raises(ClusterError, match="'land-cover'; available: fashion-mnist, mnist"):
        find_entrance(cluster, "land-cover", "")


def test_one_without_a_url_is_not_ready(api: FakeApi, cluster: Cluster) -> None:
    api.put("inferenceservices", isvc("a", "mnist", url=None))
    with pytest.raises(ClusterError, match="a has no URL yet: is it ready"):
        find_entrance(cluster, "mnist", "http://x")


def test_behind_accounts_the_edge_is_the_way_in(api: FakeApi, cluster: Cluster) -> None:
    hidden = isvc("vision", "mnist", url="http://vision-transformer.vision.svc.cluster.local")
    hidden["spec"]["transformer"]["labels"] = {VISIBILITY: "cluster-local"}
    api.put("inferenceservices", hidden)
    with pytest.raises(ClusterError, match=r"behind accounts, .* GATEWAY=http"):
        find_entrance(cluster, "mnist", "")
    put_service(api, "edge", 31500)
    with pytest.raises(ClusterError, match=r"Service edge, http://192.168.49.2:31500; .* KEY=vk_"):
        find_entrance(cluster, "mnist", "")
    found = find_entrance(cluster, "mnist", "", "vk_secret")
    assert found == Entrance("http://192.168.49.2:31500", {"Authorization": "Bearer vk_secret"})


def test_the_curl_that_is_printed_is_the_one_that_is_run(
    tools: Tools, api: FakeApi, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    api.put("inferenceservices", isvc("vision", "mnist"))
    put_service(api)
    answer = '{"predictions": [{"label": "7", "top": [{"label": "7", "probability": 1}]}]}'
    tools.add("curl", ("", f"{answer}\n200 in 0.05 s"))
    predict(cluster, "mnist", None, "")
    printed = capsys.readouterr().out
    url = "http://192.168.49.2:31080/v1/models/mnist:predict"
    assert f"URL   {url}\nHost  h.example.com\n" in printed
    assert f"curl -s -H 'Host: h.example.com' {url} -d @-" in printed
    assert f"$(base64 -w0 {SEVEN})" in printed
    (call,) = (call for call in tools.calls if call.startswith("curl"))
    assert "-H Host: h.example.com" in call
    assert call.endswith(url)
    sent = json.loads(tools.given("^curl"))
    assert base64.b64decode(sent["instances"][0]["base64"]) == SEVEN.read_bytes()
    assert f"{answer}\n200 in 0.05 s\n" in printed


def test_a_segmentation_model_is_asked_with_a_picture_of_its_kind(
    tools: Tools,
    api: FakeApi,
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    api.put("inferenceservices", isvc("land-cover", "land-cover"))
    curl = tools.folder / "curl"
    curl.write_text(
        f"#!{sys.executable} -SE\nimport sys\n"
        "sent = sys.stdin.buffer.read()\n"
        "assert sent[:4] == b'II*\\0' and 'Accept: image/png' in sys.argv\n"
        "sys.stdout.buffer.write(b'\\x89PNG\\r\\n\\x1a\\n of it\\n200 in 0.05 s\\n')\n"
    )
    curl.chmod(0o755)
    predict(cluster, "land-cover", None, "http://x")
    printed = capsys.readouterr().out
    aerial = ROOT / "samples" / "aerial.tif"
    assert f"-F file=@{aerial} 'http://x/v1/models/land-cover:predict?output=png'" in printed
    assert printed.endswith("wrote aerial-land-cover.png\n200 in 0.05 s\n")
    assert (tmp_path / "aerial-land-cover.png").read_bytes() == b"\x89PNG\r\n\x1a\n of it"


def test_a_model_without_a_card_is_told(cluster: Cluster) -> None:
    with pytest.raises(ArtifactError, match="nosuch"):
        predict(cluster, "nosuch", None, "http://x")


def test_a_refusal_is_an_error(
    tools: Tools, api: FakeApi, cluster: Cluster, tmp_path: Path
) -> None:
    api.put("inferenceservices", isvc("vision", "mnist"))
    tools.add("curl", ("", '{"error": "…"}\n503 in 0.05 s'))
    with pytest.raises(ClusterError, match="refused"):
        predict(cluster, "mnist", SEVEN, "http://x")
    with pytest.raises(ClusterError, match=r"nowhere\.png: No such file"):
        predict(cluster, "mnist", tmp_path / "nowhere.png", "http://x")


def test_a_key_is_sent_and_not_printed(
    tools: Tools, api: FakeApi, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = isvc("vision", "mnist")
    hidden["spec"]["transformer"]["labels"] = {VISIBILITY: "cluster-local"}
    api.put("inferenceservices", hidden)
    answer = '{"predictions": [{"label": "7", "top": [{"label": "7", "probability": 1}]}]}'
    tools.add("curl", ("", f"{answer}\n200 in 0.05 s"))
    predict(cluster, "mnist", SEVEN, "http://edge", key="vk_secret")
    printed = capsys.readouterr().out
    assert "vk_secret" not in printed
    assert "Bearer $KEY" in printed
    assert "Authorization: Bearer vk_secret" in "".join(tools.calls)
