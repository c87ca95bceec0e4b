"""Whose the images and the texts are that a model was trained on, as cards say it."""

from caan_hf.descriptions.records import SHIPPED_NAME, shipped_descriptions

SAMPLE = "sample"
# Benchmarks whose photos are not free to share -> where they come from.
PHOTOS = {
    "sketchy": "photos of the Sketchy database, which come from ImageNet and Flickr for non-commercial research",
    "tuberlin": "the photos that extend TU-Berlin, gathered from the web for research",
    "quickdraw": "the photos of QuickDraw-Extended, gathered from Flickr for research",
}


def restriction(protocol: str) -> str | None:
    """Where the photos of a benchmark come from if they are not free to share; None if they are, or are the user's."""
    return PHOTOS.get(_name(protocol).partition("-")[0])


def default_licence(protocol: str) -> dict[str, str]:
    """Metadata of the licence that suits what the benchmark's images allow; nothing where they are the user's."""
    if restriction(protocol):
        return {"license": "other", "license_name": "research-only"}
    return {"license": "apache-2.0"} if _name(protocol) == SAMPLE else {}


def _name(protocol: str) -> str:
    """Without version and suffix, in the spelling of the tables here."""
    return protocol.strip().casefold().partition("@")[0].partition("/")[0]


def origin_of_descriptions(origin: str | None) -> str:
    """Whose texts `benchmark.json` names, in words."""
    if origin == SHIPPED_NAME:
        writers = sorted({record.generator for record in shipped_descriptions() if record.generator})
        return f"those that come with the package caan-hf, written by the language model {' and '.join(writers)}"
    if origin == SAMPLE:
        return "those of the sample benchmark, which come with the package caan-hf"
    return f"those of the file `{origin}`" if origin else "their origin was not recorded"
