from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from artifact import model_contract
from cluster.cards import COMPONENT, cards, write_component
from cluster.commands import ROOT, ClusterError


def test_the_component_is_what_the_shipped_revisions_give(tmp_path: Path) -> None:
    written = write_component(ROOT / "models", tmp_path)
    assert written == [
        "fashion-mnist/1",
        "fashion-mnist/2",
        "fashion-mnist/3",
        "land-cover/1",
        "mnist/1",
        "mnist/2",
    ]
    for name in ("configmap.yaml", "mount.yaml"):
        assert (tmp_path / name).read_text() == (COMPONENT / name).read_text(), "run `make cards`"


def test_mounted_cards_are_read_by_the_transformer(tmp_path: Path) -> None:
    """As the kubelet lays a ConfigMap's items out: through links."""
    write_component(ROOT / "models", tmp_path)
    configmap = yaml.safe_load((tmp_path / "configmap.yaml").read_text())
    patch = yaml.safe_load((tmp_path / "mount.yaml").read_text())
    (volume,) = patch[2]["value"]
    hidden = tmp_path / "mount" / "..data"
    for item in volume["configMap"]["items"]:
        path = hidden / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(configmap["data"][item["key"]])
    for name in ("mnist", "fashion-mnist"):
        (tmp_path / "mount" / name).symlink_to(Path("..data") / name)
        found = model_contract(tmp_path / "mount", name)
        assert found == model_contract(ROOT / "models", name)


def test_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="holds no revisions"):
        cards(tmp_path)


def test_too_many_for_a_configmap(small_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.cards.LIMIT_BYTES", 10)
    with pytest.raises(ClusterError, match="more than a ConfigMap holds"):
        cards(small_root)
