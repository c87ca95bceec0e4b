"""What importing a module of the benchmarks loads."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["caan_hf.benchmarks.strokes", "caan_hf.benchmarks.options", "caan_hf.descriptions.spelling"],
)
def test_light_modules_do_not_import_heavy_libraries(module):
    code = f"import sys, {module}; print(sorted({{'datasets', 'torch', 'transformers'}} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"
