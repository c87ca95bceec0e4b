"""The published models in hub/ can be pushed without changes."""

from pathlib import Path

import pytest
from caan_hub.cli.sync_code import sync_code
from caan_hub.published_folder import is_published
from hub_card_rules import problems

from caan_hf import CaanModel, CaanProcessor

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(config.parent for config in (ROOT / "hub").glob("*/config.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_published_folder_is_complete_and_has_the_current_code(folder):
    assert is_published(folder)
    assert problems((folder / "README.md").read_text(encoding="utf-8"), "model") == []
    sync_code([folder], check=True)
    CaanProcessor.from_pretrained(folder)
    _, loading = CaanModel.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
