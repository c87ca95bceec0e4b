"""Indexing on a Ray cluster of two nodes, one of which fails, gives the same gallery."""

import numpy as np
import pytest
from photos import draw_photo
from PIL import Image

from caan_hf.gallery import Gallery
from caan_hf.gallery.schema import from_vectors

pytest.importorskip("ray", reason="Ray is missing: extra scale")

COUNT = 60
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
# A failed node is noticed within seconds.
HEALTH = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_timeout_ms": 5000}


@pytest.fixture
def cluster(monkeypatch):
    """A cluster of two nodes with one core each, and its second node. The driver runs on the first node."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    nodes, second = start_two_nodes()
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    yield nodes, second
    ray.shutdown()
    nodes.shutdown()


def start_two_nodes(attempts=3):
    """Start the nodes. Try again if a node is too slow on a busy machine."""
    from ray.cluster_utils import Cluster

    nodes = Cluster()
    try:
        nodes.add_node(**NODE, include_dashboard=False, _system_config=HEALTH)
        return nodes, nodes.add_node(**NODE)
    except Exception:
        nodes.shutdown()
        if attempts == 1:
            raise
    return start_two_nodes(attempts - 1)


@pytest.mark.slow
def test_a_failing_node_loses_and_duplicates_no_photos(cluster, encoder, tmp_path):
    nodes, second = cluster
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(COUNT):
        draw_photo(number, (32, 32)).save(photos / f"{number:02}.png")
    (photos / "damaged.png").write_bytes(b"no picture")
    killed_at = []

    def remove_node(steps, total):
        assert total == COUNT + 1
        if not killed_at:
            nodes.remove_node(second, allow_graceful=False)
            killed_at.append(steps)

    gallery = Gallery.create(tmp_path / "gallery", model=encoder, device="cpu", dtype="float32")
    report = gallery.add(photos, engine="ray", batch_size=3, progress=remove_node)
    assert 0 < killed_at[0] < COUNT
    assert (report.num_added, report.num_photos) == (COUNT, COUNT)
    assert [problem.path for problem in report.problems.found] == [str(photos / "damaged.png")]
    found = gallery.table.columns(["path", "global_embeds", "thumbnail"]).sort_by("path")
    files = [str(photos / f"{number:02}.png") for number in range(COUNT)]
    assert found["path"].to_pylist() == files
    assert found["thumbnail"].null_count == 0
    expected = encoder.encode_photos([Image.open(file) for file in files])
    np.testing.assert_allclose(from_vectors(found["global_embeds"]), expected, atol=1e-5)
    again = Gallery.create(tmp_path / "gallery", model=encoder).add(photos)
    assert (again.num_added, again.num_unchanged) == (0, COUNT)
