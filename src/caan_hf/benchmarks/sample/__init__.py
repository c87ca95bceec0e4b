"""The sample benchmark: a small benchmark that this package draws, so that it needs no download.

Its sketches and photos are drawings of parametric objects that consist of named parts. They depend only on a seed.
They are not real sketches and photos: they serve the quickstart and the tests, and a score on them does not predict
scores on Sketchy, TU-Berlin or QuickDraw.
"""

from importlib import resources

from caan_hf.descriptions.records import Description, read_descriptions

from .draw import SAMPLE_CATEGORIES, SAMPLE_UNSEEN, Modality, SampleImage, draw_object, draw_sample

__all__ = [
    "SAMPLE_CATEGORIES",
    "SAMPLE_UNSEEN",
    "Modality",
    "SampleImage",
    "draw_object",
    "draw_sample",
    "sample_descriptions",
]


def sample_descriptions() -> list[Description]:
    """Three descriptions per category, which name the parts of the drawn objects and their arrangement."""
    with resources.as_file(resources.files(__name__) / "descriptions.jsonl") as file:
        return read_descriptions(file)
