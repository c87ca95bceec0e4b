"""Protocols: fixed categories, and the reported deviations of a prepared benchmark."""

from typing import get_args

import pytest

from caan_hf import CaanError
from caan_hf.benchmarks.categories import SYNONYMS, concept
from caan_hf.benchmarks.layouts import LAYOUTS
from caan_hf.benchmarks.options import BenchmarkName
from caan_hf.benchmarks.prepared import BenchmarkInfo
from caan_hf.benchmarks.protocols import PROTOCOLS, protocol_named


def test_every_benchmark_has_a_protocol():
    assert set(PROTOCOLS) == {*LAYOUTS, "sample"} == set(get_args(BenchmarkName))


def test_protocols_are_found_by_name_and_by_id():
    assert protocol_named("sketchy-25") is protocol_named("sketchy-25@1")
    with pytest.raises(CaanError, match="supports only sketchy-25@1"):
        protocol_named("sketchy-25@2")
    with pytest.raises(CaanError, match=r"'coco': no such protocol.*sketchy-25@1, "):
        protocol_named("coco")


def info_of(unseen, sketches, photos):
    none = {"sketch": 0, "photo": 0}
    return BenchmarkInfo(
        protocol="sketchy-25@1",
        seen=[],
        validation=[],
        unseen=list(unseen),
        counts={"train": none, "validation": none, "test": {"sketch": sketches, "photo": photos}},
        descriptions={"origin": "caan-hf"},
    )


def test_deviations_from_the_published_benchmark_are_reported():
    protocol = PROTOCOLS["sketchy-25"]
    assert protocol.deviations(info_of(protocol.unseen, 15_229, 17_101)) == []
    assert "14,602 photos" in protocol.deviations(info_of(protocol.unseen, 15_229, 14_602))[0]
    found = protocol.deviations(info_of(protocol.unseen[:-1], 15_229, 14_602))
    assert found[0] == "1 of the 25 unseen categories are missing"
    assert PROTOCOLS["folder"].deviations(info_of(["yak"], 1, 1)) == []


def test_synonyms_are_one_concept():
    assert concept("crocodilian") == concept("Crocodile")
    assert concept("car_(sedan)") == concept("car")
    assert concept("hot-air_balloon") == concept("hot air balloon")
    assert concept("mouse (animal)") != concept("computer-mouse")
    names = [concept(name) for group in SYNONYMS for name in group]
    assert len(set(names)) == len(SYNONYMS)
