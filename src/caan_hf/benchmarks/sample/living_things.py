"""Animals and plants: one function a category, returning its parts from back to front."""

from __future__ import annotations

import numpy as np

from caan_hf.benchmarks.sample.shapes import (
    Part,
    about,
    arc,
    ellipse,
    mirrored,
    path,
    rounded,
    shifted,
    smooth,
    surface,
    symmetric,
    turned,
    wire,
)

Rng = np.random.Generator


def tree(rng: Rng) -> list[Part]:
    """A trunk with branches under a lobed crown."""
    rx, ry, lobes = about(rng, 0.75), about(rng, 0.62), int(rng.integers(7, 11))
    angles = np.linspace(0, 2 * np.pi, 2 * lobes, endpoint=False)
    bumps = np.where(np.arange(2 * lobes) % 2, 1.08, 0.9)
    crown = np.stack([rx * bumps * np.cos(angles), -0.35 + ry * bumps * np.sin(angles)], axis=1)
    width, top = about(rng, 0.28), ry - 0.55
    trunk = path(
        (-width / 2, top), (width / 2, top), (width * 0.6, 0.85), (width, 1.0), (-width, 1.0), (-width * 0.6, 0.85)
    )
    return [
        surface("trunk", trunk, "dark"),
        surface("crown", smooth(crown), "main"),
        wire("branch", path((0, top), (-0.18, top - 0.25)), 0.05, detail=True),
        wire("branch", path((0, top), (0.2, top - 0.3)), 0.05, detail=True),
    ]


def flower(rng: Rng) -> list[Part]:
    """Petals around a disc on a stem with two leaves."""
    count, reach, disc = int(rng.integers(5, 9)), about(rng, 0.36), about(rng, 0.2)
    petal = ellipse(0, -0.4 - reach, reach * 1.9 / np.sqrt(count), reach * 0.75)
    leaf = smooth([(0, 0.75), (0.2, 0.45), (0.5, 0.35), (0.4, 0.65)])
    bend = rng.uniform(-0.1, 0.1)
    return [
        wire("stem", smooth([(0, -0.4), (bend, 0.2), (0, 1.0)], closed=False), 0.09, "third"),
        surface("leaf", leaf, "third"),
        surface("leaf", shifted(mirrored(leaf), 0, about(rng, 0.1, 1.0)), "third"),
        *(surface("petal", turned(petal, 360 * i / count, (0, -0.4)), "main") for i in range(count)),
        surface("disc", ellipse(0, -0.4, disc), "second"),
    ]


def mushroom(rng: Rng) -> list[Part]:
    """A domed cap with spots on a stalk."""
    half, cap, stalk = about(rng, 0.85), about(rng, 0.85), about(rng, 0.26)
    dome = np.concatenate([arc(0, 0, half, cap, 180, 360), arc(0, 0, half, 0.16, 0, 180)])
    spots = [(-0.5, -0.22, 0.12), (-0.12, -0.5, 0.15), (0.35, -0.38, 0.13), (0.12, -0.12, 0.09)]
    return [
        surface("stalk", symmetric((stalk * 0.8, 0.0), (stalk, 0.6), (stalk * 1.3, 0.85), (stalk, 0.95)), "light"),
        surface("cap", dome, "main"),
        *(surface("spot", ellipse(x * half, y * cap, r), "light", detail=True) for x, y, r in spots),
    ]


def cactus(rng: Rng) -> list[Part]:
    """A column with two bent arms in a pot."""
    width, arm = about(rng, 0.42), about(rng, 0.24)
    low, high = rng.uniform(0.0, 0.2), rng.uniform(-0.35, -0.1)

    def bent(y: float) -> np.ndarray:
        reach, rise = about(rng, 0.62, 0.1), about(rng, 0.5)
        middle = reach - arm / 2
        tip = arc(middle, y - rise, arm / 2, arm / 2, 180, 360)
        elbow = arc(middle - arm / 2, y, arm, arm, 0, 90)
        return np.concatenate([path((0, y), (reach - arm, y)), tip, elbow, path((0, y + arm))])

    return [
        surface("arm", bent(low), "third"),
        surface("arm", mirrored(bent(high)), "third"),
        surface("column", rounded(0, -1.0, width, 1.7, width / 2), "third"),
        *(wire("rib", path((x * width, -0.75), (x * width, 0.55)), 0.025, detail=True) for x in (-0.2, 0.2)),
        surface("pot", symmetric((0.5, 0.6), (0.5, 0.72), (0.42, 0.72), (0.34, 1.1)), "main"),
    ]


def pineapple(rng: Rng) -> list[Part]:
    """An oval fruit with crossing lines under a tuft of pointed leaves."""
    rx, ry, reach = about(rng, 0.5), about(rng, 0.66, 0.1), about(rng, 0.62)
    leaf = smooth([(0, -0.2), (0.12, -0.2 - reach * 0.5), (0, -0.2 - reach), (-0.12, -0.2 - reach * 0.5)])
    parts = [surface("leaf", turned(leaf, a, (0, -0.15)), "third") for a in (-62, 62, -34, 34, 0)]
    parts.append(surface("fruit", ellipse(0, 0.4, rx, ry), "main"))
    for slope in (-1, 1):
        for shift in (-0.45, 0.0, 0.45):
            parts.append(wire("crossing line", shifted(_chord(rx, ry, slope, shift), 0, 0.4), 0.03, detail=True))
    return parts


def _chord(rx: float, ry: float, slope: float, shift: float) -> np.ndarray:
    """A slanting chord of the ellipse around the origin, shape (2, 2)."""
    reach = np.sqrt(2 - shift**2) / 2 * 0.95
    ends = np.array(
        [[-reach + shift / 2, slope * (-reach - shift / 2)], [reach + shift / 2, slope * (reach - shift / 2)]]
    )
    return ends * (rx, ry)


def fish(rng: Rng) -> list[Part]:
    """An oval body with a forked tail, fins, an eye and a gill."""
    depth, tail = about(rng, 0.42, 0.3), about(rng, 0.42)
    body = smooth([(-0.85, 0), (-0.4, -depth * 0.85), (0.05, -depth * 0.9), (0.6, -0.08), (0.6, 0.08),
                   (0.05, depth * 0.9), (-0.4, depth * 0.85)])  # fmt: skip
    fin = smooth([(-0.35, -depth * 0.8), (-0.1, -depth - 0.28), (0.3, -depth * 0.55), (0.0, -depth * 0.5)])
    return [
        surface("tail", path((0.5, 0), (1.0, -tail), (0.85, 0), (1.0, tail)), "second"),
        surface("fin", fin, "second"),
        surface("fin", fin * (0.8, -0.85), "second", detail=True),
        surface("body", body, "main"),
        wire("gill", arc(-0.55, 0, 0.15, depth * 0.6, -60, 60), 0.03, detail=True),
        surface("side fin", path((-0.2, 0.05), (0.12, -0.08), (0.12, 0.2)), "second", detail=True),
        surface("eye", ellipse(-0.62, -depth * 0.25, 0.07), "dark"),
    ]


def butterfly(rng: Rng) -> list[Part]:
    """Two pairs of wings on a thin body with two antennae."""
    span, drop = about(rng, 0.9), about(rng, 0.65)
    upper = smooth([(0.03, -0.1), (0.3, -0.65), (span * 0.85, -0.85), (span, -0.45), (span * 0.6, -0.02)])
    lower = smooth([(0.03, 0.02), (span * 0.55, 0.02), (span * 0.75, drop * 0.55), (span * 0.45, drop), (0.15, 0.4)])
    spot = ellipse(span * 0.62, -0.5, 0.14)
    feeler = smooth([(0.02, -0.4), (0.1, -0.75), (0.28, -0.98)], closed=False)
    sides = (lambda p: p, mirrored)
    return [
        *(surface("lower wing", side(lower), "second") for side in sides),
        *(surface("upper wing", side(upper), "main") for side in sides),
        *(surface("spot", side(spot), "light", detail=True) for side in sides),
        *(wire("antenna", side(feeler), 0.03) for side in sides),
        surface("body", ellipse(0, -0.02, 0.08, 0.5), "dark"),
    ]


def bird(rng: Rng) -> list[Part]:
    """A standing bird: round head with a beak, oval body, folded wing, tail and two thin legs."""
    plump, head = about(rng, 0.4), about(rng, 0.25)
    body = smooth([(-0.5, -0.3), (-0.1, -plump * 0.75), (0.5, 0.05), (0.55, 0.25), (0.0, plump + 0.12), (-0.5, 0.25)])
    wing = smooth([(-0.25, -0.08), (0.1, -0.12), (0.65, 0.22), (0.1, 0.3), (-0.2, 0.15)])
    legs = [path((x, plump), (x, 0.85), (x - 0.17, 0.88)) for x in (-0.12, 0.12)]
    return [
        *(wire("leg", leg, 0.05) for leg in legs),
        surface("tail", path((0.4, 0.0), (1.05, -0.02), (1.0, 0.25), (0.42, 0.28)), "second"),
        surface("beak", path((-0.7, -0.58), (-1.05, -0.42), (-0.7, -0.36)), "third"),
        surface("body", body, "main"),
        surface("head", ellipse(-0.52, -0.46, head), "main"),
        surface("wing", wing, "second"),
        surface("eye", ellipse(-0.6, -0.52, 0.05), "dark"),
    ]


def cat(rng: Rng) -> list[Part]:
    """A sitting cat from the front: pear-shaped body, round face, pointed ears, whiskers, curled tail."""
    wide, face = about(rng, 0.5), about(rng, 0.42, 0.12)
    body = symmetric((0.2, -0.2), (wide * 0.8, 0.3), (wide, 0.8), (wide * 0.6, 1.0), bend=True)
    tail = smooth([(wide * 0.7, 0.9), (0.95, 0.8), (0.9, 0.35), (0.72, 0.2)], closed=False)
    ear = path((0.08 + face * 0.1, -0.8), (face, -1.15), (face, -0.5))
    paw = ellipse(0.17, 0.93, 0.15, 0.1)
    whiskers = [path((0.12, -0.4), (0.62, y)) for y in (-0.48, -0.33)]
    sides = (lambda p: p, mirrored)
    return [
        wire("tail", tail, 0.14, "main"),
        surface("body", body, "main"),
        *(surface("paw", side(paw), "light", detail=True) for side in sides),
        *(surface("ear", side(ear), "main") for side in sides),
        surface("face", ellipse(0, -0.5, face * 1.1, face), "main"),
        *(wire("whisker", side(w), 0.02) for w in whiskers for side in sides),
        *(surface("eye", side(ellipse(0.18, -0.58, 0.06, 0.08)), "dark") for side in sides),
        surface("nose", path((-0.06, -0.42), (0.06, -0.42), (0, -0.34)), "second", detail=True),
    ]


def rabbit(rng: Rng) -> list[Part]:
    """A crouching rabbit from the side: egg-shaped body, haunch, small head, long upright ears, ball tail."""
    ear, lean, plump = about(rng, 0.42), rng.uniform(-8, 12), about(rng, 0.45)
    lobe = ellipse(-0.48, -0.5 - ear, 0.11, ear)
    body = smooth([(-0.5, 0.1), (-0.1, -0.1), (0.4, 0.45 - plump), (0.75, 0.5), (0.5, 0.95), (-0.4, 0.95)])
    return [
        surface("tail", ellipse(0.78, 0.62, 0.17), "light"),
        surface("ear", turned(lobe, 22 + lean, (-0.48, -0.4)), "main"),
        surface("body", body, "main"),
        surface("ear", turned(lobe, lean, (-0.48, -0.4)), "main"),
        surface("haunch", ellipse(0.38, 0.62, 0.33, 0.3), "main"),
        surface("foot", ellipse(0.22, 0.93, 0.3, 0.09), "light"),
        surface("foot", ellipse(-0.42, 0.93, 0.2, 0.08), "light"),
        surface("head", ellipse(-0.55, -0.15, 0.36, 0.3), "main"),
        surface("eye", ellipse(-0.62, -0.22, 0.055), "dark"),
        wire("whisker", path((-0.78, -0.08), (-1.08, -0.1)), 0.02, detail=True),
    ]


def turtle(rng: Rng) -> list[Part]:
    """A domed shell with plates over four legs, a head and a short tail."""
    half, dome, neck = about(rng, 0.72), about(rng, 0.62), rng.uniform(-0.15, 0.1)
    shell = np.concatenate([arc(0.1, 0.3, half, dome, 180, 360), path((0.1 + half, 0.38), (0.1 - half, 0.38))])
    leg = rounded(0, 0.25, 0.24, 0.42, 0.1)
    plates = [(0.1, 0.3 - dome * 0.5, 0.2), (0.1 - half * 0.5, 0.12, 0.14), (0.1 + half * 0.5, 0.12, 0.14)]
    return [
        surface("tail", path((half, 0.25), (half + 0.38, 0.42), (half, 0.42)), "second"),
        *(surface("leg", shifted(leg, x, 0), "second") for x in (-half * 0.5, 0.15 + half * 0.55)),
        surface("neck", path((-half + 0.2, 0.4), (-half - 0.1, neck), (-half - 0.2, neck + 0.25)), "second"),
        surface("head", ellipse(-half - 0.2, neck, 0.24, 0.19), "second"),
        surface("shell", shell, "main"),
        *(surface("plate", turned(ellipse(x, y, r)[::7], 12, (x, y)), "third", detail=True) for x, y, r in plates),
        surface("eye", ellipse(-half - 0.28, neck - 0.05, 0.045), "dark"),
    ]


def snail(rng: Rng) -> list[Part]:
    """A spiral shell on a long foot with two stalked eyes."""
    size, turns = about(rng, 0.58, 0.12), rng.uniform(2.0, 2.7)
    angle = np.linspace(0, 2 * np.pi * turns, 60)
    radius = size * 0.95 * (1 - angle / angle[-1] * 0.92)
    spiral = np.stack([0.2 + radius * np.cos(angle + 1.0), 0.05 + radius * np.sin(angle + 1.0)], axis=1)
    foot = smooth(
        [(-0.85, -0.2), (-0.6, -0.2), (-0.45, 0.45), (0.5, 0.5), (1.05, 0.75), (0.4, 0.8), (-0.6, 0.78), (-0.85, 0.3)]
    )
    return [
        *(wire("stalk", path((x, -0.2), (x - 0.1, -0.55)), 0.05, "second") for x in (-0.78, -0.6)),
        *(surface("eye", ellipse(x - 0.1, -0.58, 0.06), "dark") for x in (-0.78, -0.6)),
        surface("foot", foot, "second"),
        surface("shell", ellipse(0.2, 0.05, size), "main"),
        wire("spiral", spiral, 0.045),
    ]
