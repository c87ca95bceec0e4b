"""Drawings as people make them: one clean sketch on many papers, with many pens, scanned or photographed.

Each function takes a clean sketch, dark lines on white, and a random generator. `KINDS` lists them all.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Drawing = Image.Image | bytes
Make = Callable[[Image.Image, np.random.Generator], Drawing]


def levels(sketch: Image.Image) -> np.ndarray:
    """Ink from 0 (paper) to 1 (black), (H, W)."""
    return 1 - np.asarray(sketch.convert("L"), dtype=np.float64) / 255


def mix(ink: np.ndarray, pen: object, paper: object) -> np.ndarray:
    """Colours (H, W, 3) of ink (H, W) drawn with a pen on a paper; each a colour or a picture (H, W, 3)."""
    pen, paper = (np.asarray(colour, dtype=np.float64) for colour in (pen, paper))
    return paper + ink[..., None] * (pen - paper)


def picture(values: np.ndarray) -> Image.Image:
    """Values (H, W, 3) or (H, W) from 0 to 255 as a picture."""
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def thinned(ink: np.ndarray) -> np.ndarray:
    """The centre lines of ink (H, W) bool, one pixel wide (Zhang and Suen, 1984)."""
    image = np.pad(ink, 1)
    changed = True
    while changed:
        changed = False
        for first in (True, False):
            p = [
                np.roll(image, shift, (0, 1))
                for shift in ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
            ]
            neighbours = sum(q.astype(int) for q in p)
            crossings = sum((~p[i] & p[(i + 1) % 8]).astype(int) for i in range(8))
            north, east, south, west = p[0], p[2], p[4], p[6]
            if first:
                open_sides = ~(north & east & south) & ~(east & south & west)
            else:
                open_sides = ~(north & east & west) & ~(north & south & west)
            gone = image & (neighbours >= 2) & (neighbours <= 6) & (crossings == 1) & open_sides
            image &= ~gone
            changed |= bool(gone.any())
    return image[1:-1, 1:-1]


def redrawn(sketch: Image.Image, size: tuple[int, int], pen: float, share: float = 0.9) -> Image.Image:
    """The sketch's centre lines with a pen of so many pixels, in the middle of a canvas (width, height)."""
    line = thinned(levels(sketch) > 0.35)
    height, width = line.shape
    factor = 4 if pen < 3 and max(size) <= 1024 else 1  # Pillow draws without anti-aliasing
    scale = share * min(size[0] / width, size[1] / height) * factor
    left, top = (size[0] * factor - width * scale) / 2, (size[1] * factor - height * scale) / 2
    canvas = Image.new("L", (size[0] * factor, size[1] * factor), 255)
    draw = ImageDraw.Draw(canvas)
    wide = max(1, round(pen * factor))
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        beside = np.zeros_like(line)
        beside[: height - dy, max(0, -dx) : width - max(0, dx)] = line[dy:, max(0, dx) : width + min(0, dx)]
        both = line & beside
        if dy and dx:  # a diagonal step only where no straight steps lead there
            side = np.zeros_like(line)
            side[:-1] |= line[1:]
            turn = np.zeros_like(line)
            turn[:, max(0, -dx) : width - max(0, dx)] = line[:, max(0, dx) : width + min(0, dx)]
            both &= ~side & ~turn
        for y, x in zip(*np.nonzero(both), strict=True):
            ends = [
                (left + (x + 0.5) * scale, top + (y + 0.5) * scale),
                (left + (x + dx + 0.5) * scale, top + (y + dy + 0.5) * scale),
            ]
            draw.line(ends, fill=0, width=wide)
            if wide > 2:
                for ex, ey in ends:
                    draw.ellipse((ex - wide / 2, ey - wide / 2, ex + wide / 2, ey + wide / 2), fill=0)
    return canvas.reduce(factor) if factor > 1 else canvas


def grain(shape: tuple[int, int], rng: np.random.Generator, strength: float) -> np.ndarray:
    """Noise (H, W, 1) of a paper or a camera: fine and coarse."""
    fine = rng.normal(0, strength, shape)
    coarse = rng.normal(0, 1, (shape[0] // 8 + 2, shape[1] // 8 + 2)).astype(np.float32)
    coarse = np.asarray(Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
    return (fine + strength * coarse)[..., None]


def falling_light(shape: tuple[int, int], lowest: float) -> np.ndarray:
    """Brightness (H, W, 1) from 1 in the middle to `lowest` in the corners."""
    rows, columns = (np.linspace(-1, 1, length) for length in shape)
    return (1 - (1 - lowest) * (rows[:, None] ** 2 + columns**2) / 2)[..., None]


def jpeg(image: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return content.getvalue()


def coloured(pen: object, paper: object, noise: float = 0) -> Make:
    def make(sketch: Image.Image, rng: np.random.Generator) -> Drawing:
        values = mix(levels(sketch), pen, paper)
        return picture(values + (grain(values.shape[:2], rng, noise) if noise else 0))

    return make


def canvas(side: int, pen: float) -> Make:
    return lambda sketch, rng: redrawn(sketch, (side, side), pen)


def scan(pen: float) -> Make:
    """An A4 page at 300 dpi whose upper half holds the drawing."""

    def make(sketch: Image.Image, rng: np.random.Generator) -> Drawing:
        page = Image.new("L", (2480, 3508), 255)
        page.paste(redrawn(sketch, (1600, 1600), pen), (440, 500))
        values = mix(levels(page), (50, 50, 60), (247, 246, 242)) + rng.normal(0, 2, (3508, 2480, 1))
        return jpeg(picture(values), 85)

    return make


def photographed(
    desk: Callable[[tuple[int, int], np.random.Generator], np.ndarray], lowest: float, tilt: float
) -> Make:
    """A phone's photo of a page on a desk: slightly rotated and in perspective, with falling light."""

    def make(sketch: Image.Image, rng: np.random.Generator) -> Drawing:
        size = (800, 1000)
        page = mix(levels(redrawn(sketch, (560, 560), 4.0)), (40, 40, 70), (244, 242, 236))
        ground = desk((size[1], size[0]), rng)
        sheet = np.broadcast_to(np.asarray((244.0, 242, 236)), (760, 620, 3)).copy()
        sheet[100:660, 30:590] = page
        angle = np.deg2rad(tilt if rng.random() < 0.5 else -tilt)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        corners = np.array([[-310, -380], [310, -380], [310, 380], [-310, 380]]) * [[0.93], [0.93], [1.03], [1.03]]
        corners = (corners @ turn.T + [400, 500]).tolist()
        coefficients = perspective(corners, [(0, 0), (620, 0), (620, 760), (0, 760)])
        warp = Image.Transform.PERSPECTIVE
        moved = picture(sheet).transform(size, warp, coefficients, Image.Resampling.BICUBIC)
        mask = Image.new("L", (620, 760), 255).transform(size, warp, coefficients, Image.Resampling.BICUBIC)
        shadow = mask.transform(size, Image.Transform.AFFINE, (1, 0, -6, 0, 1, -8)).filter(ImageFilter.GaussianBlur(6))
        ground = ground * (1 - 0.35 * np.asarray(shadow)[..., None] / 255)
        values = Image.composite(moved, picture(ground), mask)
        lit = np.asarray(values, dtype=np.float64) * falling_light((size[1], size[0]), lowest)
        return jpeg(picture(lit + grain(lit.shape[:2], rng, 3)), 80)

    return make


def perspective(target: list, source: list) -> list[float]:
    """Pillow's coefficients of the perspective that puts the points of `source` at those of `target`."""
    rows, values = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows, dtype=float), np.array(values, dtype=float)).tolist()


def plain_desk(colour: tuple[int, int, int]) -> Callable:
    return lambda shape, rng: np.broadcast_to(np.asarray(colour, dtype=np.float64), (*shape, 3)) + grain(shape, rng, 3)


def wooden_desk(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    rows = np.arange(shape[0])[:, None] + 6 * np.sin(np.arange(shape[1]) / 90 + rng.uniform(0, 6))
    wave = np.sin(rows / 5 + np.sin(rows / 23) * 3) * 18
    return np.asarray((150, 105, 65)) + wave[..., None] + grain(shape, rng, 5)


def lit(shade: Callable[[tuple[int, int]], np.ndarray]) -> Make:
    def make(sketch: Image.Image, rng: np.random.Generator) -> Drawing:
        values = mix(levels(sketch), (30, 30, 40), (235, 235, 230))
        return picture(values * shade(values.shape[:2]) + grain(values.shape[:2], rng, 2))

    return make


def half_shadow(shape: tuple[int, int]) -> np.ndarray:
    """A shadow over one half whose soft edge runs across the page."""
    rows, columns = (np.linspace(-1, 1, length) for length in shape)
    return 1 - 0.4 / (1 + np.exp(-(rows[:, None] * 0.6 + columns) * 12))[..., None]


def slope(shape: tuple[int, int]) -> np.ndarray:
    return np.linspace(1, 0.45, shape[1])[None, :, None] * np.ones((shape[0], 1, 1))


def framed(inset: int, width: int) -> Make:
    def make(sketch: Image.Image, rng: np.random.Generator) -> Drawing:
        image = padded(sketch, 24 if inset else 0)
        box = (inset, inset, image.width - 1 - inset, image.height - 1 - inset)
        ImageDraw.Draw(image).rectangle(box, outline=20, width=width)
        return image

    return make


def padded(sketch: Image.Image, margin: int) -> Image.Image:
    image = Image.new("L", (sketch.width + 2 * margin, sketch.height + 2 * margin), 255)
    image.paste(sketch.convert("L"), (margin, margin))
    return image


def dust(sketch: Image.Image, rng: np.random.Generator) -> Drawing:
    image = padded(sketch, 16)
    image.putpixel((0, 0), 0)
    return image


def specks(sketch: Image.Image, rng: np.random.Generator) -> Drawing:
    image = padded(sketch, 48)
    draw = ImageDraw.Draw(image)
    for x, y in rng.integers(0, image.width, (25, 2)):
        radius = rng.uniform(0, 1)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=40)
    return image


def placed(share: float, x: float, y: float, side: int = 512) -> Make:
    def make(sketch: Image.Image, rng: np.random.Generator) -> Drawing:
        small = sketch.convert("L").resize((round(side * share),) * 2, Image.Resampling.LANCZOS)
        image = Image.new("L", (side, side), 255)
        image.paste(small, (round((side - small.width) * x), round((side - small.height) * y)))
        return image

    return make


def transparent(colour: tuple[int, int, int]) -> Make:
    def make(sketch: Image.Image, rng: np.random.Generator) -> Drawing:
        image = Image.new("RGBA", sketch.size, (*colour, 0))
        image.putalpha(picture(levels(sketch) * 255))
        return image

    return make


def ruled(squared: bool) -> Make:
    """School paper with pale blue lines."""

    def make(sketch: Image.Image, rng: np.random.Generator) -> Drawing:
        paper = np.full((*np.asarray(sketch.convert("L")).shape, 3), 250.0)
        paper[10::20] = (190, 210, 235)
        if squared:
            paper[:, 10::20] = (190, 210, 235)
        return picture(mix(levels(sketch), (40, 40, 90), paper))

    return make


def frames(kind: str) -> Make:
    """An animation or a file of several pages whose first picture is blank."""

    def make(sketch: Image.Image, rng: np.random.Generator) -> Drawing:
        content, ink = io.BytesIO(), sketch.convert("L").convert("RGB")
        blank = Image.new("RGB", ink.size, "white")
        blank.save(content, kind, save_all=True, append_images=[ink], **({"lossless": True} if kind == "WEBP" else {}))
        return content.getvalue()

    return make


def twelve_bits(sketch: Image.Image, rng: np.random.Generator) -> Drawing:
    return Image.fromarray(((1 - levels(sketch)) * 4095).round().astype(np.uint16))


def pressed(quality: int) -> Make:
    return lambda sketch, rng: jpeg(sketch.convert("L"), quality)


def shrunk(side: int) -> Make:
    return lambda sketch, rng: sketch.convert("L").resize((side, side), Image.Resampling.LANCZOS)


KINDS: dict[str, Make] = {
    "clean": lambda sketch, rng: sketch,
    "white on black": lambda sketch, rng: picture(levels(sketch) * 255),
    "one-pixel frame": framed(0, 1),
    "drawn frame": framed(6, 3),
    "red paper": coloured((10, 10, 10), (200, 40, 40)),
    "grey paper": coloured((15, 15, 15), (110, 110, 110)),
    "kraft paper, white chalk": coloured((235, 235, 230), (170, 130, 90), 4),
    "blackboard": coloured((225, 225, 220), (45, 60, 50), 6),
    "blueprint": coloured((240, 240, 255), (30, 60, 150), 2),
    "red on green": coloured((190, 40, 40), (60, 125, 60)),
    "yellow on white": coloured((255, 255, 102), (255, 255, 255)),
    "pencil": coloured((165, 165, 165), (246, 244, 238), 3),
    "ruled paper": ruled(False),
    "squared paper": ruled(True),
    "12-bit scan": twelve_bits,
    "JPEG quality 15": pressed(15),
    "dust pixel in a corner": dust,
    "specks": specks,
    "64 px": shrunk(64),
    "1 px on 256 px": canvas(256, 1),
    "3 px on 256 px": canvas(256, 3),
    "8 px on 256 px": canvas(256, 8),
    "14 px on 256 px": canvas(256, 14),
    "1 px on 2,048 px": canvas(2048, 1),
    "1 px on 4,096 px": canvas(4096, 1),
    "scan, 1 px pen": scan(1),
    "scan, 2 px pen": scan(2),
    "scan, 5 px pen": scan(5),
    "light falls off to the corners": lit(lambda shape: falling_light(shape, 0.4)),
    "light falls off to one side": lit(slope),
    "shadow across the page": lit(half_shadow),
    "photo, dark desk": photographed(plain_desk((60, 45, 38)), 0.75, 4),
    "photo, white desk": photographed(plain_desk((228, 228, 228)), 0.75, 4),
    "photo, grey desk": photographed(plain_desk((140, 140, 145)), 0.75, 3),
    "photo, wooden desk": photographed(wooden_desk, 0.75, 5),
    "photo, wooden desk, dim": photographed(wooden_desk, 0.5, 2),
    "transparent, black": transparent((0, 0, 0)),
    "transparent, white": transparent((255, 255, 255)),
    "transparent, yellow": transparent((250, 220, 60)),
    "tiny": placed(0.15, 0.5, 0.5),
    "small, off centre": placed(0.3, 0.95, 0.9),
    "GIF, first frame blank": frames("GIF"),
    "WebP, first frame blank": frames("WEBP"),
    "APNG, first frame blank": frames("PNG"),
    "TIFF, first page blank": frames("TIFF"),
}
