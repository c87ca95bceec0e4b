"""`caan quickstart` writes over its own folders alone; that it trains is tested with the README."""

import pytest

from caan_hf.cli.quickstart import MARK, quickstart
from caan_hf.errors import CaanError


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_another_run_is_left_alone(tmp_path, overwrite):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").touch()
    (tmp_path / "checkpoint-500").mkdir()
    before = contents(tmp_path)
    with pytest.raises(CaanError, match="something other than a quickstart"):
        quickstart(tmp_path, overwrite=overwrite)
    assert contents(tmp_path) == before


def test_an_earlier_quickstart_is_left_alone_unless_asked(tmp_path):
    (tmp_path / MARK).touch()
    (tmp_path / "model").mkdir()
    before = contents(tmp_path)
    with pytest.raises(CaanError, match="add --overwrite"):
        quickstart(tmp_path)
    assert contents(tmp_path) == before


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CaanError, match="cannot be written"):
        quickstart(tmp_path / "file" / "run")
