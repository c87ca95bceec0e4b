"""Benchmarks and descriptions as cards name them: display names, restrictions, licenses and origin."""

from typing import Any

from caan_hf.descriptions.records import SHIPPED_NAME, shipped_descriptions

SAMPLE = "sample"
BENCHMARK_NAMES = {
    "sketchy-25": "Sketchy, 100 seen and 25 unseen categories",
    "sketchy-21": "Sketchy, 104 seen and 21 unseen categories",
    "tuberlin-30": "TU-Berlin, 220 seen and 30 unseen categories",
    "quickdraw-30": "QuickDraw-Extended, 80 seen and 30 unseen categories",
    SAMPLE: "caan-hf sample, drawn by the package",
}
# Benchmarks with photos that may not be shared freely, and where the photos come from.
RESTRICTED_PHOTOS = {
    "sketchy": "photos of the Sketchy database, which come from ImageNet and Flickr for non-commercial research",
    "tuberlin": "the photos that extend TU-Berlin, gathered from the web for research",
    "quickdraw": "the photos of QuickDraw-Extended, gathered from Flickr for research",
}


def benchmark_name(protocol: str) -> str:
    """Display name of a protocol's benchmark."""
    benchmark = benchmark_of(protocol)
    return BENCHMARK_NAMES.get(benchmark, f"{benchmark}, a benchmark for sketch-based retrieval")


def benchmark_of(protocol: str) -> str:
    """The benchmark of a protocol such as "sketchy-25@1/generalized": the part before version and suffix."""
    return protocol.partition("@")[0].partition("/")[0]


def restriction(protocol: str) -> str | None:
    """Where the photos of a benchmark and of the data sets added to it come from if they may not be shared freely.

    Args:
        protocol: A protocol, with the data sets that were added to it as in "sketchy-25@1+pool".

    Returns:
        One phrase, or None if there are no such photos.
    """
    names = [benchmark_of(part).casefold().partition("-")[0] for part in protocol.split("+")]
    found = [RESTRICTED_PHOTOS[name] for name in dict.fromkeys(names) if name in RESTRICTED_PHOTOS]
    return " and ".join(found) or None


def default_license(protocol: str) -> dict[str, Any]:
    """License metadata of a model trained on a benchmark; empty for a user's own benchmark."""
    if restriction(protocol):
        return {"license": "other", "license_name": "research-only"}
    return {"license": "apache-2.0"} if benchmark_of(protocol) == SAMPLE else {}


def describe_origin(origin: str | None) -> str:
    """The origin of descriptions that `benchmark.json` records, in words."""
    if origin == SHIPPED_NAME:
        generators = sorted({record.generator for record in shipped_descriptions() if record.generator})
        return f"texts shipped with the package caan-hf, written by the language model {' and '.join(generators)}"
    if origin == SAMPLE:
        return "texts of the sample benchmark, shipped with the package caan-hf"
    return f"texts of the file `{origin}`" if origin else "not recorded"
