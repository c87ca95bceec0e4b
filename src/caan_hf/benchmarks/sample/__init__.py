"""The sample benchmark: a small one that this package draws itself, so that it needs no download.

Its sketches and photos are drawings of parametric objects made of named parts, deterministic from a seed. They are not
real sketches and not real photos: they serve the quickstart and the tests, and a score on them says nothing about
Sketchy, TU-Berlin or QuickDraw.
"""

from caan_hf.benchmarks.sample.descriptions import SAMPLE_DESCRIPTIONS
from caan_hf.benchmarks.sample.draw import Modality, SampleImage, draw_object, draw_sample
from caan_hf.benchmarks.sample.objects import SAMPLE_CATEGORIES, SAMPLE_UNSEEN

__all__ = [
    "SAMPLE_CATEGORIES",
    "SAMPLE_DESCRIPTIONS",
    "SAMPLE_UNSEEN",
    "Modality",
    "SampleImage",
    "draw_object",
    "draw_sample",
]
