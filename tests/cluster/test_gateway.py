from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from artifact import ArtifactError
from cluster.commands import ROOT, ClusterError
from cluster.gateway import Entrance, find_entrance, gateway_address, predict
from tests.cluster.conftest import Tools

SEVEN = ROOT / "samples" / "seven.png"


def isvc(name: str, *models: str, url: str | None = "http://h.example.com") -> dict[str, Any]:
    arguments = [f"--model={model}" for model in models]
    return {
        "metadata": {"name": name},
        "spec": {"transformer": {"containers": [{"args": arguments}]}},
        "status": {"url": url} if url else {},
    }


def items(*documents: dict[str, Any]) -> str:
    return json.dumps({"items": documents})


def service(**changes: Any) -> str:
    ports = [{"port": 80, "nodePort": 31080}, {"port": 443, "nodePort": 31443}]
    return json.dumps({"spec": {"ports": ports}, "status": {}, **changes})


NODES = items({"status": {"addresses": [{"type": "InternalIP", "address": "192.168.49.2"}]}})


def test_the_one_that_answers_for_the_model(tools: Tools) -> None:
    found = items(
        isvc("a", "fashion-mnist", url="http://a.example.com"),
        isvc("b", "mnist", url="http://b.example.com"),
    )
    tools.add("kubectl", ("get inferenceservices", found))
    entrance = find_entrance("mnist", "http://10.0.0.1:80/")
    assert entrance == Entrance("http://10.0.0.1:80", "b.example.com")
    assert entrance.predict_url("mnist") == "http://10.0.0.1:80/v1/models/mnist:predict"
    with pytest.raises(ClusterError, match="answers for 'land-cover'"):
        find_entrance("land-cover", "")


def test_one_without_a_url_is_not_ready(tools: Tools) -> None:
    tools.add("kubectl", ("get inferenceservices", items(isvc("a", "mnist", url=None))))
    with pytest.raises(ClusterError, match="a has no URL yet: is it ready"):
        find_entrance("mnist", "http://x")


def test_where_the_gateway_is(tools: Tools) -> None:
    tools.add("kubectl", ("get service kourier", service()), ("get nodes", NODES))
    assert gateway_address() == "http://192.168.49.2:31080"
    balanced = service(status={"loadBalancer": {"ingress": [{"ip": "10.1.2.3"}]}})
    tools.add("kubectl", ("get service kourier", balanced))
    assert gateway_address() == "http://10.1.2.3"
    tools.add("kubectl", ("get service kourier", service(spec={"ports": [{"port": 80}]})))
    with pytest.raises(ClusterError, match="GATEWAY=http"):
        gateway_address()


def test_the_curl_that_is_printed_is_the_one_that_is_run(
    tools: Tools, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.add(
        "kubectl",
        ("get inferenceservices", items(isvc("vision", "mnist"))),
        ("get service kourier", service()),
        ("get nodes", NODES),
    )
    answer = '{"predictions": [{"label": "7", "top": [{"label": "7", "probability": 1}]}]}'
    tools.add("curl", ("", f"{answer}\n200 in 0.05 s"))
    predict("mnist", None, "")
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
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    tools.add("kubectl", ("get inferenceservices", items(isvc("land-cover", "land-cover"))))
    curl = tools.folder / "curl"
    curl.write_text(
        f"#!{sys.executable} -SE\nimport sys\n"
        "sent = sys.stdin.buffer.read()\n"
        "assert sent[:4] == b'II*\\0' and 'Accept: image/png' in sys.argv\n"
        "sys.stdout.buffer.write(b'\\x89PNG\\r\\n\\x1a\\n of it\\n200 in 0.05 s\\n')\n"
    )
    curl.chmod(0o755)
    predict("land-cover", None, "http://x")
    printed = capsys.readouterr().out
    aerial = ROOT / "samples" / "aerial.tif"
    assert f"-F file=@{aerial} 'http://x/v1/models/land-cover:predict?output=png'" in printed
    assert printed.endswith("wrote aerial-land-cover.png\n200 in 0.05 s\n")
    assert (tmp_path / "aerial-land-cover.png").read_bytes() == b"\x89PNG\r\n\x1a\n of it"


def test_a_model_without_a_card_is_told(tools: Tools) -> None:
    with pytest.raises(ArtifactError, match="nosuch"):
        predict("nosuch", None, "http://x")


def test_a_refusal_is_an_error(tools: Tools, tmp_path: Path) -> None:
    tools.add("kubectl", ("get inferenceservices", items(isvc("vision", "mnist"))))
    tools.add("curl", ("", '{"error": "…"}\n503 in 0.05 s'))
    with pytest.raises(ClusterError, match="refused"):
        predict("mnist", SEVEN, "http://x")
    with pytest.raises(ClusterError, match=r"nowhere\.png: No such file"):
        predict("mnist", tmp_path / "nowhere.png", "http://x")
