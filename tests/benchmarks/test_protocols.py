"""Protocols: fixed categories, and what a prepared benchmark that deviates is told."""

import pytest

from caan_hf import CaanError
from caan_hf.benchmarks import BENCHMARKS
from caan_hf.benchmarks.protocols import PROTOCOLS, protocol_named
from caan_hf.benchmarks.synonyms import GROUPS, concept
from caan_hf.descriptions.spelling import fold


@pytest.mark.parametrize(
    ("name", "seen", "unseen"),
    [("sketchy-25", 100, 25), ("sketchy-21", 104, 21), ("tuberlin-30", 220, 30), ("quickdraw-30", 80, 30)],
)
def test_categories_of_published_protocols(name, seen, unseen):
    protocol = PROTOCOLS[name]
    assert (len(protocol.seen), len(protocol.unseen)) == (seen, unseen)
    assert not set(protocol.seen) & set(protocol.unseen)
    assert protocol.sources


def test_every_benchmark_has_one():
    assert set(PROTOCOLS) == set(BENCHMARKS)


def test_names_and_versions():
    assert protocol_named("sketchy-25") is protocol_named("sketchy-25@1")
    with pytest.raises(CaanError, match=r"knows sketchy-25@1 alone"):
        protocol_named("sketchy-25@2")
    with pytest.raises(CaanError, match=r"no protocol is called 'coco'; there are sketchy-25@1, "):
        protocol_named("coco")


def test_deviations_are_said():
    protocol = PROTOCOLS["sketchy-25"]
    info = {"unseen": list(protocol.unseen), "counts": {"test": {"sketch": 15_229, "photo": 17_101}}}
    assert protocol.deviations(info) == []
    info["counts"]["test"]["photo"] = 14_602
    assert "14,602 photos" in protocol.deviations(info)[0]
    info["unseen"].pop()
    assert protocol.deviations(info)[0] == "1 of the 25 unseen categories are missing"
    assert PROTOCOLS["folder"].deviations({}) == []


def test_names_of_one_category():
    assert concept("crocodilian") == concept("Crocodile")
    assert concept("car_(sedan)") == concept("car")
    assert concept("hot-air_balloon") == concept("hot air balloon")
    assert concept("mouse (animal)") != concept("computer-mouse")
    names = [concept(name) for group in GROUPS for name in group]
    assert len(set(names)) == len(GROUPS)


@pytest.mark.parametrize("name", [name for name, protocol in PROTOCOLS.items() if protocol.has_lists])
def test_no_category_is_both_seen_and_unseen_in_any_spelling(name):
    seen, unseen = ({fold(category) for category in side} for side in (PROTOCOLS[name].seen, PROTOCOLS[name].unseen))
    assert not seen & unseen
