"""Animals and plants. `descriptions.jsonl` says what each object looks like."""

import numpy as np

from .shapes import Drawing, arc, both, ellipse, line, mirrored, path, rounded, shifted, smooth, symmetric, turned


def tree(d: Drawing) -> None:
    rx, ry, lobes = d.about(0.75), d.about(0.62), int(d.rng.integers(7, 11))
    angles = np.linspace(0, 2 * np.pi, 2 * lobes, endpoint=False)
    bumps = np.where(np.arange(2 * lobes) % 2, 1.08, 0.9)
    width, top = d.about(0.28), ry - 0.55
    half, foot = width / 2, width * 0.6
    d.surface(
        "trunk", path((-half, top), (half, top), (foot, 0.85), (width, 1.0), (-width, 1.0), (-foot, 0.85)), "dark"
    )
    d.surface("crown", smooth(np.stack([rx * bumps * np.cos(angles), -0.35 + ry * bumps * np.sin(angles)], axis=1)))
    d.wire("branch", [path((0, top), (-0.18, top - 0.25)), path((0, top), (0.2, top - 0.3))], 0.05, detail=True)


def flower(d: Drawing) -> None:
    count, reach, disc = int(d.rng.integers(5, 9)), d.about(0.36), d.about(0.2)
    petal = ellipse(0, -0.4 - reach, reach * 1.9 / np.sqrt(count), reach * 0.75)
    leaf = smooth([(0, 0.75), (0.2, 0.45), (0.5, 0.35), (0.4, 0.65)])
    d.wire("stem", line((0, -0.4), (d.rng.uniform(-0.1, 0.1), 0.2), (0, 1.0)), 0.09, "third")
    d.surface("leaf", [leaf, shifted(mirrored(leaf), 0, d.about(0.1, 1.0))], "third")
    d.surface("petal", [turned(petal, 360 * i / count, (0, -0.4)) for i in range(count)])
    d.surface("disc", ellipse(0, -0.4, disc), "second")


def mushroom(d: Drawing) -> None:
    half, cap, stalk = d.about(0.85), d.about(0.85), d.about(0.26)
    d.surface("stalk", symmetric((stalk * 0.8, 0.0), (stalk, 0.6), (stalk * 1.3, 0.85), (stalk, 0.95)), "light")
    d.surface("cap", np.concatenate([arc(0, 0, half, cap, 180, 360), arc(0, 0, half, 0.16, 0, 180)]))
    for x, y, radius in ((-0.5, -0.22, 0.12), (-0.12, -0.5, 0.15), (0.35, -0.38, 0.13), (0.12, -0.12, 0.09)):
        d.surface("spot", ellipse(x * half, y * cap, radius), "light", detail=True)


def cactus(d: Drawing) -> None:
    width, arm = d.about(0.42), d.about(0.24)
    low, high = d.rng.uniform(0.0, 0.2), d.rng.uniform(-0.35, -0.1)

    def bent(y: float) -> np.ndarray:
        reach, rise = d.about(0.62, 0.1), d.about(0.5)
        middle = reach - arm / 2
        tip = arc(middle, y - rise, arm / 2, arm / 2, 180, 360)
        elbow = arc(middle - arm / 2, y, arm, arm, 0, 90)
        return np.concatenate([path((0, y), (reach - arm, y)), tip, elbow, path((0, y + arm))])

    d.surface("arm", [bent(low), mirrored(bent(high))], "third")
    d.surface("column", rounded(0, -1.0, width, 1.7, width / 2), "third")
    d.wire("rib", [path((x * width, -0.75), (x * width, 0.55)) for x in (-0.2, 0.2)], 0.025, detail=True)
    d.surface("pot", symmetric((0.5, 0.6), (0.5, 0.72), (0.42, 0.72), (0.34, 1.1)))


def pineapple(d: Drawing) -> None:
    rx, ry, reach = d.about(0.5), d.about(0.66, 0.1), d.about(0.62)
    leaf = smooth([(0, -0.2), (0.12, -0.2 - reach * 0.5), (0, -0.2 - reach), (-0.12, -0.2 - reach * 0.5)])
    d.surface("leaf", [turned(leaf, angle, (0, -0.15)) for angle in (-62, 62, -34, 34, 0)], "third")
    d.surface("fruit", ellipse(0, 0.4, rx, ry))
    for slope in (-1, 1):
        for shift in (-0.45, 0.0, 0.45):  # chords of the fruit
            half, mid = np.sqrt(2 - shift**2) / 2 * 0.95, shift / 2
            chord = path((-half + mid, slope * (-half - mid)), (half + mid, slope * (half - mid)))
            d.wire("crossing line", shifted(chord * (rx, ry), 0, 0.4), 0.03, detail=True)


def fish(d: Drawing) -> None:
    depth, tail = d.about(0.42, 0.3), d.about(0.42)
    belly = [(0.6, 0.08), (0.05, depth * 0.9), (-0.4, depth * 0.85)]
    fin = smooth([(-0.35, -depth * 0.8), (-0.1, -depth - 0.28), (0.3, -depth * 0.55), (0.0, -depth * 0.5)])
    d.surface("tail", path((0.5, 0), (1.0, -tail), (0.85, 0), (1.0, tail)), "second")
    d.surface("fin", fin, "second")
    d.surface("fin", fin * (0.8, -0.85), "second", detail=True)
    d.surface("body", smooth([(-0.85, 0), (-0.4, -depth * 0.85), (0.05, -depth * 0.9), (0.6, -0.08), *belly]))
    d.wire("gill", arc(-0.55, 0, 0.15, depth * 0.6, -60, 60), 0.03, detail=True)
    d.surface("side fin", path((-0.2, 0.05), (0.12, -0.08), (0.12, 0.2)), "second", detail=True)
    d.surface("eye", ellipse(-0.62, -depth * 0.25, 0.07), "dark")


def butterfly(d: Drawing) -> None:
    span, drop = d.about(0.9), d.about(0.65)
    upper = smooth([(0.03, -0.1), (0.3, -0.65), (span * 0.85, -0.85), (span, -0.45), (span * 0.6, -0.02)])
    lower = smooth([(0.03, 0.02), (span * 0.55, 0.02), (span * 0.75, drop * 0.55), (span * 0.45, drop), (0.15, 0.4)])
    d.surface("lower wing", both(lower), "second")
    d.surface("upper wing", both(upper))
    d.surface("spot", both(ellipse(span * 0.62, -0.5, 0.14)), "light", detail=True)
    d.wire("antenna", both(line((0.02, -0.4), (0.1, -0.75), (0.28, -0.98))), 0.03)
    d.surface("body", ellipse(0, -0.02, 0.08, 0.5), "dark")


def bird(d: Drawing) -> None:
    plump, head = d.about(0.4), d.about(0.25)
    body = [(-0.5, -0.3), (-0.1, -plump * 0.75), (0.5, 0.05), (0.55, 0.25), (0.0, plump + 0.12), (-0.5, 0.25)]
    d.wire("leg", [path((x, plump), (x, 0.85), (x - 0.17, 0.88)) for x in (-0.12, 0.12)], 0.05)
    d.surface("tail", path((0.4, 0.0), (1.05, -0.02), (1.0, 0.25), (0.42, 0.28)), "second")
    d.surface("beak", path((-0.7, -0.58), (-1.05, -0.42), (-0.7, -0.36)), "third")
    d.surface("body", smooth(body))
    d.surface("head", ellipse(-0.52, -0.46, head))
    d.surface("wing", smooth([(-0.25, -0.08), (0.1, -0.12), (0.65, 0.22), (0.1, 0.3), (-0.2, 0.15)]), "second")
    d.surface("eye", ellipse(-0.6, -0.52, 0.05), "dark")


def cat(d: Drawing) -> None:
    wide, face = d.about(0.5), d.about(0.42, 0.12)
    d.wire("tail", line((wide * 0.7, 0.9), (0.95, 0.8), (0.9, 0.35), (0.72, 0.2)), 0.14, "main")
    d.surface("body", symmetric((0.2, -0.2), (wide * 0.8, 0.3), (wide, 0.8), (wide * 0.6, 1.0), bend=True))
    d.surface("paw", both(ellipse(0.17, 0.93, 0.15, 0.1)), "light", detail=True)
    d.surface("ear", both(path((0.08 + face * 0.1, -0.8), (face, -1.15), (face, -0.5))))
    d.surface("face", ellipse(0, -0.5, face * 1.1, face))
    d.wire("whisker", [*both(path((0.12, -0.4), (0.62, -0.48))), *both(path((0.12, -0.4), (0.62, -0.33)))], 0.02)
    d.surface("eye", both(ellipse(0.18, -0.58, 0.06, 0.08)), "dark")
    d.surface("nose", path((-0.06, -0.42), (0.06, -0.42), (0, -0.34)), "second", detail=True)


def rabbit(d: Drawing) -> None:
    ear, lean, plump = d.about(0.42), d.rng.uniform(-8, 12), d.about(0.45)
    lobe, root = ellipse(-0.48, -0.5 - ear, 0.11, ear), (-0.48, -0.4)
    d.surface("tail", ellipse(0.78, 0.62, 0.17), "light")
    d.surface("ear", turned(lobe, 22 + lean, root))
    d.surface("body", smooth([(-0.5, 0.1), (-0.1, -0.1), (0.4, 0.45 - plump), (0.75, 0.5), (0.5, 0.95), (-0.4, 0.95)]))
    d.surface("ear", turned(lobe, lean, root))
    d.surface("haunch", ellipse(0.38, 0.62, 0.33, 0.3))
    d.surface("foot", [ellipse(0.22, 0.93, 0.3, 0.09), ellipse(-0.42, 0.93, 0.2, 0.08)], "light")
    d.surface("head", ellipse(-0.55, -0.15, 0.36, 0.3))
    d.surface("eye", ellipse(-0.62, -0.22, 0.055), "dark")
    d.wire("whisker", path((-0.78, -0.08), (-1.08, -0.1)), 0.02, detail=True)


def turtle(d: Drawing) -> None:
    half, dome, neck = d.about(0.72), d.about(0.62), d.rng.uniform(-0.15, 0.1)
    shell = np.concatenate([arc(0.1, 0.3, half, dome, 180, 360), path((0.1 + half, 0.38), (0.1 - half, 0.38))])
    plates = ((0.1, 0.3 - dome * 0.5, 0.2), (0.1 - half * 0.5, 0.12, 0.14), (0.1 + half * 0.5, 0.12, 0.14))
    d.surface("tail", path((half, 0.25), (half + 0.38, 0.42), (half, 0.42)), "second")
    for x in (-half * 0.5, 0.15 + half * 0.55):
        d.surface("leg", shifted(rounded(0, 0.25, 0.24, 0.42, 0.1), x, 0), "second")
    d.surface("neck", path((-half + 0.2, 0.4), (-half - 0.1, neck), (-half - 0.2, neck + 0.25)), "second")
    d.surface("head", ellipse(-half - 0.2, neck, 0.24, 0.19), "second")
    d.surface("shell", shell)
    for x, y, radius in plates:
        d.surface("plate", turned(ellipse(x, y, radius)[::7], 12, (x, y)), "third", detail=True)
    d.surface("eye", ellipse(-half - 0.28, neck - 0.05, 0.045), "dark")


def snail(d: Drawing) -> None:
    size, turns = d.about(0.58, 0.12), d.rng.uniform(2.0, 2.7)
    angle = np.linspace(0, 2 * np.pi * turns, 60)
    radius = size * 0.95 * (1 - angle / angle[-1] * 0.92)
    front = [(-0.85, -0.2), (-0.6, -0.2), (-0.45, 0.45), (0.5, 0.5)]
    d.wire("stalk", [path((x, -0.2), (x - 0.1, -0.55)) for x in (-0.78, -0.6)], 0.05, "second")
    d.surface("eye", [ellipse(x - 0.1, -0.58, 0.06) for x in (-0.78, -0.6)], "dark")
    d.surface("foot", smooth([*front, (1.05, 0.75), (0.4, 0.8), (-0.6, 0.78), (-0.85, 0.3)]), "second")
    d.surface("shell", ellipse(0.2, 0.05, size))
    d.wire("spiral", np.stack([0.2 + radius * np.cos(angle + 1.0), 0.05 + radius * np.sin(angle + 1.0)], axis=1), 0.045)
