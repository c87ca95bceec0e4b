"""Preparing holds a bounded number of images in memory, however many there are."""

import subprocess
import sys
from pathlib import Path

import pytest
from raw_folders import RawFolder, image_bytes

PREPARE = """
import resource, sys
from caan_hf.benchmarks import PrepareOptions, prepare_benchmark
import caan_hf.benchmarks.writing
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
prepare_benchmark("folder", sys.argv[1], sys.argv[2], PrepareOptions(progress=False))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def peak_growth(raw: Path, out: Path) -> int:
    """How much the peak of resident memory grows while preparing, in bytes."""
    command = [sys.executable, "-c", PREPARE, str(raw), str(out)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_memory_does_not_grow_with_the_number_of_photos(tmp_path):
    raw = RawFolder(tmp_path / "raw")
    raw.images("sketches", ("a", "b", "c"), count=1, suffix=".png")
    raw.images("photos", ("a", "b", "c"), count=1)
    raw.text("unseen.txt", "c")
    photo = image_bytes("small") + bytes(100_000)  # decoders stop at the end marker: many bytes, few pixels
    count = 1200
    (raw.root / "photos/a/photo.jpg").write_bytes(photo)
    for number in range(count):
        (raw.root / f"photos/a/photo-{number}.jpg").hardlink_to(raw.root / "photos/a/photo.jpg")
    assert count * len(photo) > 2 * 60e6
    assert peak_growth(raw.root, tmp_path / "out") < 60e6
