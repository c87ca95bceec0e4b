"""Tools, toys and small belongings: one function a category, returning its parts from back to front."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from caan_hf.benchmarks.sample.shapes import (
    Part,
    about,
    arc,
    box,
    ellipse,
    mirrored,
    path,
    rounded,
    shifted,
    smooth,
    surface,
    symmetric,
    trapezoid,
    turned,
    wire,
)

Rng = np.random.Generator


def umbrella(rng: Rng) -> list[Part]:
    """A scalloped canopy with ribs above a stick that ends in a hook."""
    half, dome, hook = about(rng, 0.95, 0.1), about(rng, 0.72), about(rng, 0.16)
    edges = np.linspace(half, -half, 5)
    scallops = [arc((a + b) / 2, 0.0, (a - b) / 2, 0.12, 0, -180) for a, b in pairwise(edges)]
    canopy = np.concatenate([arc(0, 0, half, dome, 180, 360), *scallops])
    handle = np.concatenate([path((0, -0.1), (0, 0.85)), arc(-hook, 0.85, hook, hook, 0, 180)])
    return [
        wire("hook handle", handle, 0.07),
        wire("tip", path((0, -dome), (0, -dome - 0.16)), 0.05),
        surface("canopy", canopy, "main"),
        *(
            wire("rib", smooth([(0, -dome), (x * 0.75, -dome * 0.6), (x, -0.02)], closed=False), 0.025)
            for x in edges[1:4]
        ),
    ]


def kite(rng: Rng) -> list[Part]:
    """A diamond with crossed spars and a wavy tail that carries bows."""
    half, tall, waist = about(rng, 0.62), about(rng, 1.25), rng.uniform(0.3, 0.45)
    top = -1.0
    cross, low = top + tall * waist, top + tall
    tail = [(0.0, low), (0.15, low + 0.2), (-0.08, low + 0.4), (0.12, low + 0.6), (0.02, low + 0.78)]
    bow = path((-0.12, -0.07), (0.12, 0.07), (0.12, -0.07), (-0.12, 0.07))
    return [
        wire("tail", smooth(tail, closed=False), 0.04),
        *(surface("bow", shifted(bow, *point), "second", detail=True) for point in tail[1:4]),
        surface("diamond", path((0, top), (half, cross), (0, low), (-half, cross)), "main"),
        surface("panel", path((0, top), (half, cross), (0, cross)), "second", detail=True),
        surface("panel", path((0, low), (-half, cross), (0, cross)), "second", detail=True),
        wire("spar", path((0, top), (0, low)), 0.04),
        wire("spar", path((-half, cross), (half, cross)), 0.04),
    ]


def snowman(rng: Rng) -> list[Part]:
    """Three stacked balls with a hat, a carrot nose, stick arms and buttons."""
    low, middle, top = about(rng, 0.48, 0.1), about(rng, 0.36, 0.1), about(rng, 0.26, 0.1)
    y2 = 1.0 - 1.85 * low - middle * 0.85
    y3 = y2 - middle * 0.9 - top * 0.8
    lift = rng.uniform(-0.25, 0.1)
    arm = path((middle * 0.8, y2), (middle + 0.42, y2 + lift - 0.1))
    return [
        *(wire("arm", side(arm), 0.05) for side in (lambda p: p, mirrored)),
        surface("ball", ellipse(0, 1.0 - low, low), "light"),
        surface("ball", ellipse(0, y2, middle), "light"),
        surface("ball", ellipse(0, y3, top), "light"),
        surface("hat", box(0, y3 - top - 0.28, top * 1.2, 0.4), "main"),
        surface("brim", box(0, y3 - top * 0.65, top * 2.1, 0.08), "main"),
        *(surface("button", ellipse(0, y, 0.04), "dark", detail=True) for y in (y2 - 0.1, y2 + 0.12)),
        *(surface("eye", ellipse(x, y3 - 0.03, 0.035), "dark") for x in (-0.09, 0.09)),
        surface("carrot nose", path((0, y3 + 0.03), (top * 1.2, y3 + 0.1), (0, y3 + 0.13)), "second"),
    ]


def robot(rng: Rng) -> list[Part]:
    """A square head with an antenna on a square trunk with jointed arms and legs."""
    head, trunk, limb = about(rng, 0.52), about(rng, 0.75), about(rng, 0.17)
    arm = box(trunk / 2 + limb * 0.65, -0.28, limb, about(rng, 0.6))
    leg, foot = box(trunk * 0.27, 0.45, limb * 1.1, 0.42), rounded(trunk * 0.3, 0.85, 0.32, 0.15, 0.05)
    sides = (lambda p: p, mirrored)
    return [
        wire("antenna", path((0, -0.8), (0, -1.05)), 0.04),
        surface("antenna ball", ellipse(0, -1.08, 0.07), "third"),
        *(surface("arm", side(arm), "second") for side in sides),
        *(surface("leg", side(leg), "second") for side in sides),
        *(surface("foot", side(foot), "dark") for side in sides),
        surface("trunk", rounded(0, -0.36, trunk, 0.86, 0.06), "main"),
        surface("head", rounded(0, -0.85, head, 0.44, 0.05), "main"),
        *(surface("eye", ellipse(s * head * 0.22, -0.68, 0.07), "light") for s in (-1, 1)),
        surface("mouth", box(0, -0.53, head * 0.5, 0.06), "dark", detail=True),
        surface("panel", box(0, -0.18, trunk * 0.6, 0.3), "light", detail=True),
    ]


def ice_cream(rng: Rng) -> list[Part]:
    """Scoops on a pointed cone with crossing lines."""
    half, scoop = about(rng, 0.42, 0.12), about(rng, 0.44, 0.1)
    middles = [(0, -0.12)] if rng.random() < 0.35 else [(0, -0.12 - scoop), (0, -0.12)]
    return [
        surface("cone", path((-half, 0.0), (half, 0.0), (0, 1.1)), "second"),
        wire("crossing line", path((-half * 0.9, 0.12), (half * 0.3, 0.75)), 0.03, detail=True),
        wire("crossing line", path((-half * 0.1, 0.1), (half * 0.6, 0.45)), 0.03, detail=True),
        wire("crossing line", path((half * 0.9, 0.12), (-half * 0.3, 0.75)), 0.03, detail=True),
        wire("crossing line", path((half * 0.1, 0.1), (-half * 0.6, 0.45)), 0.03, detail=True),
        *(
            surface("scoop", ellipse(x, y, scoop, scoop * 0.9), role)
            for (x, y), role in zip(middles, ("main", "third"), strict=False)
        ),
        surface("cherry", ellipse(0.05, middles[0][1] - scoop * 0.9 - 0.06, 0.1), "third", detail=True),
    ]


def eyeglasses(rng: Rng) -> list[Part]:
    """Two lenses joined by a bridge with an arm on each side."""
    rx, ry, gap = about(rng, 0.38, 0.12), about(rng, 0.32, 0.2), about(rng, 0.12)
    middle = gap + rx
    square = rng.random() < 0.4
    lens = rounded(middle, -ry, 2 * rx, 2 * ry, 0.15) if square else ellipse(middle, 0, rx, ry)
    arm = smooth([(middle + rx * 0.95, -0.08), (1.05, -0.42), (1.2, -0.45), (1.22, -0.25)], closed=False)
    sides = (lambda p: p, mirrored)
    return [
        *(wire("arm", side(arm), 0.07, "main") for side in sides),
        *(surface("lens", side(lens), "light") for side in sides),
        *(wire("frame", side(np.vstack([lens, lens[:1]])), 0.08, "main") for side in sides),
        wire("bridge", arc(0, 0.0, gap * 1.1, 0.15, 180, 360), 0.08, "main"),
    ]


def key(rng: Rng) -> list[Part]:
    """A ring-shaped bow, a long shaft and teeth at its end."""
    radius, teeth = about(rng, 0.34), int(rng.integers(2, 4))
    shaft = about(rng, 0.13)
    places = np.linspace(0.9, 0.9 - 0.2 * teeth, teeth, endpoint=False)
    return [
        *(surface("tooth", box(x, 0.02, 0.11, about(rng, 0.3, 0.3)), "main") for x in places),
        surface("shaft", box(0.2, -shaft / 2, 1.55, shaft), "main"),
        surface("bow", ellipse(-0.75, 0, radius), "main"),
        surface("hole", ellipse(-0.75, 0, radius * 0.5), "dark"),
        surface("collar", box(-0.75 + radius + 0.06, -0.13, 0.08, 0.26), "second", detail=True),
    ]


def padlock(rng: Rng) -> list[Part]:
    """A square body with a keyhole under a bent shackle."""
    half, rise, arch = about(rng, 0.6), about(rng, 0.3), about(rng, 0.38)
    shackle = np.concatenate([path((-arch, 0.0)), arc(0, -rise, arch, arch, 180, 360), path((arch, 0.0))])
    return [
        wire("shackle", shackle, 0.15, "second"),
        surface("body", rounded(0, -0.05, 2 * half, about(rng, 0.95, 0.1), 0.12), "main"),
        surface("keyhole", path((-0.05, 0.4), (0.05, 0.4), (0.1, 0.68), (-0.1, 0.68)), "dark"),
        surface("keyhole", ellipse(0, 0.34, 0.13), "dark"),
    ]


def hammer(rng: Rng) -> list[Part]:
    """A metal head with a claw across the end of a wooden handle."""
    grip, head = about(rng, 0.17), about(rng, 0.34)
    claw = smooth([(-0.1, -0.95), (-0.5, -0.9), (-0.78, -0.55), (-0.5, -0.68), (-0.1, -0.95 + head)])
    return [
        surface("handle", trapezoid(0, -0.75, grip * 0.85, grip * 1.3, 1.75), "main"),
        surface("claw", claw, "second"),
        surface("head", box(0.12, -0.95, 0.5, head), "second"),
        surface("face", box(0.45, -1.0, 0.18, head + 0.1), "second"),
    ]


def scissors(rng: Rng) -> list[Part]:
    """Two crossed blades on a pivot with a finger ring on each."""
    opening, ring = rng.uniform(10, 22), about(rng, 0.24)
    blade = path((-0.08, 0.15), (0.0, -1.0), (0.1, 0.15))
    shank = path((-0.07, 0.1), (0.09, 0.1), (0.06, 0.5), (-0.06, 0.5))
    loop = np.vstack([ellipse(0.03, 0.7, ring * 0.85, ring), ellipse(0.03, 0.7, ring * 0.85, ring)[:1]])
    halves = (lambda p: turned(p, opening), lambda p: mirrored(turned(p, opening)))
    return [
        *(surface("blade", half(blade), "light") for half in halves),
        *(surface("shank", half(shank), "main") for half in halves),
        *(wire("finger ring", half(loop), 0.1, "main") for half in halves),
        surface("pivot", ellipse(0, 0.05, 0.06), "dark"),
    ]


def guitar(rng: Rng) -> list[Part]:
    """A waisted body with a sound hole, a long neck, a head and strings."""
    low, high, waist = about(rng, 0.46, 0.12), about(rng, 0.35, 0.12), about(rng, 0.27, 0.1)
    body = symmetric((0.1, -0.1), (high, 0.08), (waist, 0.36), (low, 0.7), (0.2, 1.02), bend=True)
    return [
        surface("body", body, "main"),
        surface("sound hole", ellipse(0, 0.35, 0.14), "dark"),
        surface("neck", box(0, -0.8, 0.14, 1.0), "second"),
        surface("head", trapezoid(0, -1.05, 0.28, 0.18, 0.28), "dark"),
        surface("bridge", box(0, 0.72, 0.36, 0.08), "dark"),
        *(wire("string", path((x, -0.8), (x, 0.74)), 0.012, "light", detail=True) for x in (-0.035, 0.035)),
    ]


def sword(rng: Rng) -> list[Part]:
    """A long pointed blade, a crossguard, a grip and a round pommel."""
    half, guard = about(rng, 0.13), about(rng, 0.4)
    tilt = rng.uniform(-35, 35)
    blade = path((0, -1.1), (half, -0.9), (half, 0.4), (-half, 0.4), (-half, -0.9))
    return [
        surface("blade", turned(blade, tilt), "light"),
        wire("groove", turned(path((0, -0.8), (0, 0.35)), tilt), 0.03, detail=True),
        surface("grip", turned(box(0, 0.45, 0.13, 0.4), tilt), "dark"),
        surface("crossguard", turned(rounded(0, 0.38, 2 * guard, 0.12, 0.05), tilt), "main"),
        surface("pommel", turned(ellipse(0, 0.92, 0.12), tilt), "main"),
    ]


def crown(rng: Rng) -> list[Part]:
    """A band with jewels under a row of points tipped with balls."""
    half, rise = about(rng, 0.8), about(rng, 0.95)
    count = int(rng.choice([3, 5]))
    xs = np.linspace(-half * 1.1, half * 1.1, count)
    tops = [(x, 0.45 - rise * (1.0 if i % 2 == 0 else 0.8)) for i, x in enumerate(xs)]
    valleys = [((a + b) / 2, 0.45 - rise * 0.35) for a, b in pairwise(xs)]
    zigzag = [point for pair in zip(tops, [*valleys, (half, 0.45)], strict=True) for point in pair]
    return [
        surface("points", path(*zigzag, (-half, 0.45)), "main"),
        *(surface("ball", ellipse(x, y, 0.09), "second") for x, y in tops),
        surface("band", box(0, 0.42, 2 * half, 0.26), "main"),
        *(surface("jewel", ellipse(x * half, 0.55, 0.09, 0.08), "third", detail=True) for x in (-0.6, 0.0, 0.6)),
    ]
