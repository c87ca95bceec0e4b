"""Tools, toys and small belongings. `descriptions.jsonl` says what each object looks like."""

from itertools import pairwise

import numpy as np

from .shapes import (
    Drawing,
    arc,
    both,
    box,
    ellipse,
    line,
    path,
    ring,
    rounded,
    shifted,
    smooth,
    symmetric,
    trapezoid,
    turned,
)


def umbrella(d: Drawing) -> None:
    half, dome, hook = d.about(0.95, 0.1), d.about(0.72), d.about(0.16)
    edges = np.linspace(half, -half, 5)
    scallops = [arc((a + b) / 2, 0.0, (a - b) / 2, 0.12, 0, -180) for a, b in pairwise(edges)]
    d.wire("hook handle", np.concatenate([path((0, -0.1), (0, 0.85)), arc(-hook, 0.85, hook, hook, 0, 180)]), 0.07)
    d.wire("tip", path((0, -dome), (0, -dome - 0.16)), 0.05)
    d.surface("canopy", np.concatenate([arc(0, 0, half, dome, 180, 360), *scallops]))
    d.wire("rib", [line((0, -dome), (x * 0.75, -dome * 0.6), (x, -0.02)) for x in edges[1:4]], 0.025)


def kite(d: Drawing) -> None:
    half, tall, waist = d.about(0.62), d.about(1.25), d.rng.uniform(0.3, 0.45)
    top = -1.0
    cross, low = top + tall * waist, top + tall
    tail = [(0.0, low), (0.15, low + 0.2), (-0.08, low + 0.4), (0.12, low + 0.6), (0.02, low + 0.78)]
    bow = path((-0.12, -0.07), (0.12, 0.07), (0.12, -0.07), (-0.12, 0.07))
    d.wire("tail", line(*tail), 0.04)
    d.surface("bow", [shifted(bow, *point) for point in tail[1:4]], "second", detail=True)
    d.surface("diamond", path((0, top), (half, cross), (0, low), (-half, cross)))
    d.surface("panel", path((0, top), (half, cross), (0, cross)), "second", detail=True)
    d.surface("panel", path((0, low), (-half, cross), (0, cross)), "second", detail=True)
    d.wire("spar", [path((0, top), (0, low)), path((-half, cross), (half, cross))], 0.04)


def snowman(d: Drawing) -> None:
    low, middle, top = d.about(0.48, 0.1), d.about(0.36, 0.1), d.about(0.26, 0.1)
    y2 = 1.0 - 1.85 * low - middle * 0.85
    y3 = y2 - middle * 0.9 - top * 0.8
    lift = d.rng.uniform(-0.25, 0.1)
    d.wire("arm", both(path((middle * 0.8, y2), (middle + 0.42, y2 + lift - 0.1))), 0.05)
    d.surface("ball", [ellipse(0, 1.0 - low, low), ellipse(0, y2, middle), ellipse(0, y3, top)], "light")
    d.surface("hat", box(0, y3 - top - 0.28, top * 1.2, 0.4))
    d.surface("brim", box(0, y3 - top * 0.65, top * 2.1, 0.08))
    d.surface("button", [ellipse(0, y, 0.04) for y in (y2 - 0.1, y2 + 0.12)], "dark", detail=True)
    d.surface("eye", [ellipse(x, y3 - 0.03, 0.035) for x in (-0.09, 0.09)], "dark")
    d.surface("carrot nose", path((0, y3 + 0.03), (top * 1.2, y3 + 0.1), (0, y3 + 0.13)), "second")


def robot(d: Drawing) -> None:
    head, trunk, limb = d.about(0.52), d.about(0.75), d.about(0.17)
    arm = box(trunk / 2 + limb * 0.65, -0.28, limb, d.about(0.6))
    d.wire("antenna", path((0, -0.8), (0, -1.05)), 0.04)
    d.surface("antenna ball", ellipse(0, -1.08, 0.07), "third")
    d.surface("arm", both(arm), "second")
    d.surface("leg", both(box(trunk * 0.27, 0.45, limb * 1.1, 0.42)), "second")
    d.surface("foot", both(rounded(trunk * 0.3, 0.85, 0.32, 0.15, 0.05)), "dark")
    d.surface("trunk", rounded(0, -0.36, trunk, 0.86, 0.06))
    d.surface("head", rounded(0, -0.85, head, 0.44, 0.05))
    d.surface("eye", [ellipse(s * head * 0.22, -0.68, 0.07) for s in (-1, 1)], "light")
    d.surface("mouth", box(0, -0.53, head * 0.5, 0.06), "dark", detail=True)
    d.surface("panel", box(0, -0.18, trunk * 0.6, 0.3), "light", detail=True)


def ice_cream(d: Drawing) -> None:
    half, scoop = d.about(0.42, 0.12), d.about(0.44, 0.1)
    heights = [-0.12] if d.rng.random() < 0.35 else [-0.12 - scoop, -0.12]
    d.surface("cone", path((-half, 0.0), (half, 0.0), (0, 1.1)), "second")
    for s in (-1, 1):
        d.wire("crossing line", path((s * half * 0.9, 0.12), (-s * half * 0.3, 0.75)), 0.03, detail=True)
        d.wire("crossing line", path((s * half * 0.1, 0.1), (-s * half * 0.6, 0.45)), 0.03, detail=True)
    d.surface("scoop", ellipse(0, heights[0], scoop, scoop * 0.9))
    if len(heights) == 2:
        d.surface("scoop", ellipse(0, heights[1], scoop, scoop * 0.9), "third")
    d.surface("cherry", ellipse(0.05, heights[0] - scoop * 0.9 - 0.06, 0.1), "third", detail=True)


def eyeglasses(d: Drawing) -> None:
    rx, ry, gap = d.about(0.38, 0.12), d.about(0.32, 0.2), d.about(0.12)
    middle = gap + rx
    square = d.rng.random() < 0.4
    lens = rounded(middle, -ry, 2 * rx, 2 * ry, 0.15) if square else ellipse(middle, 0, rx, ry)
    d.wire("arm", both(line((middle + rx * 0.95, -0.08), (1.05, -0.42), (1.2, -0.45), (1.22, -0.25))), 0.07, "main")
    d.surface("lens", both(lens), "light")
    d.wire("frame", both(np.vstack([lens, lens[:1]])), 0.08, "main")
    d.wire("bridge", arc(0, 0.0, gap * 1.1, 0.15, 180, 360), 0.08, "main")


def key(d: Drawing) -> None:
    radius, teeth = d.about(0.34), int(d.rng.integers(2, 4))
    shaft = d.about(0.13)
    for x in np.linspace(0.9, 0.9 - 0.2 * teeth, teeth, endpoint=False):
        d.surface("tooth", box(x, 0.02, 0.11, d.about(0.3, 0.3)))
    d.surface("shaft", box(0.2, -shaft / 2, 1.55, shaft))
    d.surface("bow", ellipse(-0.75, 0, radius))
    d.surface("hole", ellipse(-0.75, 0, radius * 0.5), "dark")
    d.surface("collar", box(-0.75 + radius + 0.06, -0.13, 0.08, 0.26), "second", detail=True)


def padlock(d: Drawing) -> None:
    half, rise, arch = d.about(0.6), d.about(0.3), d.about(0.38)
    shackle = np.concatenate([path((-arch, 0.0)), arc(0, -rise, arch, arch, 180, 360), path((arch, 0.0))])
    d.wire("shackle", shackle, 0.15, "second")
    d.surface("body", rounded(0, -0.05, 2 * half, d.about(0.95, 0.1), 0.12))
    d.surface("keyhole", [path((-0.05, 0.4), (0.05, 0.4), (0.1, 0.68), (-0.1, 0.68)), ellipse(0, 0.34, 0.13)], "dark")


def hammer(d: Drawing) -> None:
    grip, head = d.about(0.17), d.about(0.34)
    claw = smooth([(-0.1, -0.95), (-0.5, -0.9), (-0.78, -0.55), (-0.5, -0.68), (-0.1, -0.95 + head)])
    d.surface("handle", trapezoid(0, -0.75, grip * 0.85, grip * 1.3, 1.75))
    d.surface("claw", claw, "second")
    d.surface("head", box(0.12, -0.95, 0.5, head), "second")
    d.surface("face", box(0.45, -1.0, 0.18, head + 0.1), "second")


def scissors(d: Drawing) -> None:
    opening, finger = d.rng.uniform(10, 22), d.about(0.24)
    d.surface("blade", both(turned(path((-0.08, 0.15), (0.0, -1.0), (0.1, 0.15)), opening)), "light")
    d.surface("shank", both(turned(path((-0.07, 0.1), (0.09, 0.1), (0.06, 0.5), (-0.06, 0.5)), opening)))
    d.wire("finger ring", both(turned(ring(0.03, 0.7, finger * 0.85, finger), opening)), 0.1, "main")
    d.surface("pivot", ellipse(0, 0.05, 0.06), "dark")


def guitar(d: Drawing) -> None:
    low, high, waist = d.about(0.46, 0.12), d.about(0.35, 0.12), d.about(0.27, 0.1)
    d.surface("body", symmetric((0.1, -0.1), (high, 0.08), (waist, 0.36), (low, 0.7), (0.2, 1.02), bend=True))
    d.surface("sound hole", ellipse(0, 0.35, 0.14), "dark")
    d.surface("neck", box(0, -0.8, 0.14, 1.0), "second")
    d.surface("head", trapezoid(0, -1.05, 0.28, 0.18, 0.28), "dark")
    d.surface("bridge", box(0, 0.72, 0.36, 0.08), "dark")
    d.wire("string", [path((x, -0.8), (x, 0.74)) for x in (-0.035, 0.035)], 0.012, "light", detail=True)


def sword(d: Drawing) -> None:
    half, guard = d.about(0.13), d.about(0.4)
    tilt = d.rng.uniform(-35, 35)
    d.surface("blade", turned(path((0, -1.1), (half, -0.9), (half, 0.4), (-half, 0.4), (-half, -0.9)), tilt), "light")
    d.wire("groove", turned(path((0, -0.8), (0, 0.35)), tilt), 0.03, detail=True)
    d.surface("grip", turned(box(0, 0.45, 0.13, 0.4), tilt), "dark")
    d.surface("crossguard", turned(rounded(0, 0.38, 2 * guard, 0.12, 0.05), tilt))
    d.surface("pommel", turned(ellipse(0, 0.92, 0.12), tilt))


def crown(d: Drawing) -> None:
    half, rise = d.about(0.8), d.about(0.95)
    xs = np.linspace(-half * 1.1, half * 1.1, int(d.rng.choice([3, 5])))
    tops = [(x, 0.45 - rise * (1.0 if i % 2 == 0 else 0.8)) for i, x in enumerate(xs)]
    valleys = [((a + b) / 2, 0.45 - rise * 0.35) for a, b in pairwise(xs)]
    zigzag = [point for pair in zip(tops, [*valleys, (half, 0.45)], strict=True) for point in pair]
    d.surface("points", path(*zigzag, (-half, 0.45)))
    d.surface("ball", [ellipse(x, y, 0.09) for x, y in tops], "second")
    d.surface("band", box(0, 0.42, 2 * half, 0.26))
    d.surface("jewel", [ellipse(x * half, 0.55, 0.09, 0.08) for x in (-0.6, 0.0, 0.6)], "third", detail=True)
