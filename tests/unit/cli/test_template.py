"""template.yaml is read as SAM reads it, and found from any folder of the checkout."""

from pathlib import Path

import pytest
from samtranslator.yaml_helper import yaml_parse

from impact_cli import template
from local import PROJECT


def test_it_is_read_as_sam_reads_it() -> None:
    assert template.template() == yaml_parse((PROJECT / "template.yaml").read_text())


def test_the_checkout_is_the_one_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("template.yaml", "samconfig.toml"):
        (tmp_path / name).touch()
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    assert template.checkout.__wrapped__() == tmp_path


def test_outside_of_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(template, "__file__", str(tmp_path / "a" / "b" / "template.py"))
    with pytest.raises(template.NoCheckout, match="Run this in a checkout"):
        template.checkout.__wrapped__()
