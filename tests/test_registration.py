"""CAAN is registered with the Auto classes however the package is imported, and importing it is cheap."""

import subprocess
import sys

import pytest

CONFIG = "from transformers import AutoConfig; print(type(AutoConfig.for_model('caan')).__name__)"


HEAVY = {"torch", "transformers", "datasets", "gradio", "lancedb", "onnx", "onnxruntime", "ray"}


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], check=True, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()


@pytest.mark.parametrize(
    "first",
    [
        "import caan_hf",
        "import caan_hf; from transformers import ViTImageProcessor",
        "from transformers import AutoModel; import caan_hf",
        "from caan_hf import CaanModel",
        "from caan_hf.configuration_caan import CaanConfig",
        "from caan_hf.towers_caan import build_tower",
        "from caan_hf.processing_caan import CaanProcessor",
    ],
)
def test_auto_classes_find_caan_after(first):
    assert run_python(f"{first}; {CONFIG}") == "CaanConfig"


def test_import_prints_nothing_and_loads_no_heavy_package():
    assert run_python(f"import caan_hf, caan_hf.images_caan, sys; print({HEAVY} & set(sys.modules))") == "set()"


def test_every_public_name_can_be_imported():
    code = "import caan_hf; [getattr(caan_hf, name) for name in caan_hf.__all__]; print('done')"
    assert run_python(code) == "done"


def test_unknown_attribute_is_an_attribute_error():
    import caan_hf

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = caan_hf.no_such_name
