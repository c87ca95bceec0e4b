"""The catalogue: which categories exist, which are unseen, and which function gives the parts of each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from caan_hf.benchmarks.sample import buildings_and_vehicles as built
from caan_hf.benchmarks.sample import furniture_and_tableware as furniture
from caan_hf.benchmarks.sample import living_things as living
from caan_hf.benchmarks.sample import tools_and_toys as tools
from caan_hf.benchmarks.sample.shapes import Part
from caan_hf.errors import CaanError

_SEEN: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    "house": built.house,
    "castle": built.castle,
    "car": built.car,
    "train": built.train,
    "bicycle": built.bicycle,
    "airplane": built.airplane,
    "hot-air_balloon": built.hot_air_balloon,
    "tree": living.tree,
    "flower": living.flower,
    "mushroom": living.mushroom,
    "cactus": living.cactus,
    "fish": living.fish,
    "butterfly": living.butterfly,
    "cat": living.cat,
    "turtle": living.turtle,
    "snail": living.snail,
    "table": furniture.table,
    "bed": furniture.bed,
    "floor_lamp": furniture.floor_lamp,
    "television": furniture.television,
    "alarm_clock": furniture.alarm_clock,
    "ladder": furniture.ladder,
    "umbrella": tools.umbrella,
    "kite": tools.kite,
    "snowman": tools.snowman,
    "ice_cream": tools.ice_cream,
    "mug": furniture.mug,
    "bottle": furniture.bottle,
    "wine_glass": furniture.wine_glass,
    "candle": furniture.candle,
    "eyeglasses": tools.eyeglasses,
    "key": tools.key,
    "padlock": tools.padlock,
    "hammer": tools.hammer,
    "scissors": tools.scissors,
    "guitar": tools.guitar,
    "sword": tools.sword,
    "crown": tools.crown,
}
# Held out of training. Their parts also occur above (wheels, triangles, handles, legs, leaves, a tapering tower),
# put together into another whole, so that what is learnt on seen categories can carry over.
_UNSEEN: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    "sailboat": built.sailboat,
    "rocket": built.rocket,
    "tractor": built.tractor,
    "lighthouse": built.lighthouse,
    "windmill": built.windmill,
    "tent": built.tent,
    "bird": living.bird,
    "rabbit": living.rabbit,
    "pineapple": living.pineapple,
    "chair": furniture.chair,
    "robot": tools.robot,
    "teapot": furniture.teapot,
}
_OBJECTS = _SEEN | _UNSEEN

SAMPLE_CATEGORIES: tuple[str, ...] = tuple(_OBJECTS)
SAMPLE_UNSEEN: tuple[str, ...] = tuple(_UNSEEN)


def parts_of(category: str, rng: np.random.Generator) -> list[Part]:
    """The parts of one object of a category, from back to front, with proportions drawn from `rng`.

    Raises:
        CaanError: The category is not one of `SAMPLE_CATEGORIES`.
    """
    check_category(category)
    return _OBJECTS[category](rng)


def check_category(category: str) -> None:
    """Raise a `CaanError` that names the category where the sample benchmark has no such one."""
    if category not in _OBJECTS:
        known = ", ".join(SAMPLE_CATEGORIES)
        raise CaanError(f"The sample benchmark has no category {category!r}. Choose from: {known}.")
