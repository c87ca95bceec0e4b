"""Code that lies beside weights is refused without asking the user, and never runs."""

import json

import pytest

from caan_hf import CaanError, CaanModel, CaanProcessor
from caan_hf.descriptions.local import LocalGenerator
from caan_hf.descriptions.options import DescribeOptions


@pytest.fixture
def folder(tmp_path):
    """A model that brings its own code, which would leave a trace."""
    code = f"open({str(tmp_path / 'trace')!r}, 'w')\nfrom transformers import PreTrainedConfig as Own"
    (tmp_path / "own.py").write_text(code)
    classes = dict.fromkeys(("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoImageProcessor"), "own.Own")
    config = {"model_type": "own", "auto_map": classes | {"AutoTokenizer": ["own.Own", None]}}
    for name in ("config.json", "preprocessor_config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize(
    ("load", "error"),
    [
        (CaanModel.from_backbones, ValueError),
        (CaanProcessor.from_backbones, ValueError),
        (lambda folder: CaanProcessor.from_backbones("unused", folder), ValueError),
        (lambda folder: LocalGenerator(DescribeOptions(str(folder))), CaanError),
    ],
    ids=["towers", "image processor", "tokenizer", "language model"],
)
def test_code_beside_weights_is_refused_and_does_not_run(folder, load, error, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(error, match=r"trust_remote_code|custom code"):
        load(str(folder))
    assert not (folder / "trace").exists()
