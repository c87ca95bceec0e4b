"""The Python code of docs/python.md runs, in the order in which a reader runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from caan_hf.benchmarks import PrepareOptions, prepare_benchmark

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_block_runs(tmp_path):
    options = {"photos_per_category": 2, "sketches_per_category": 2, "image_size": 64, "progress": False}
    prepare_benchmark("sample", None, tmp_path / "data" / "sample", PrepareOptions(**options))
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL))
    shorter = code.replace('"training.max_steps": 65', '"training.max_steps": 2, "training.dataloader_num_workers": 0')
    assert shorter != code
    done = subprocess.run(
        [sys.executable, "-c", shorter],
        cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    *_, by_embeddings, by_scores = done.stdout.splitlines()
    assert 0 < float(by_embeddings) <= 1
    assert float(by_scores.split()[0]) == pytest.approx(float(by_embeddings))
    assert (tmp_path / "results" / "uniform" / "report.html").is_file()
