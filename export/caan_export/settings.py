"""From a checkpoint's processor to the settings of the preprocessing without torch, and proof that they agree."""

import numpy as np
from PIL import Image

from caan_hf.benchmarks.sample import draw_object
from caan_hf.errors import CaanError

from .preprocessing import Preprocessing, check_values

MAX_GREY_LEVELS = 1.0
"""torchvision and PIL resize alike but round differently: by one grey level, but for one value in ten thousand."""
MAX_RARE_GREY_LEVELS = 2.0
RARE = 1e-3
TOLERANCE = 1e-3
UNKNOWN_STEPS = ("do_pad", "do_reduce_labels", "do_flip_channel_order", "do_thumbnail", "do_align_long_axis")
PICTURES = ((300, 200), (97, 210), (64, 64), (31, 45))


def preprocessing_of(processor) -> Preprocessing:
    """The settings of a `CaanProcessor`.

    Raises:
        CaanError: its image processor does something that has no counterpart here, or is damaged.
    """
    kind = type(processor.image_processor).__name__
    try:
        settings = _settings(processor, kind)
        check_values(settings)
        greatest, share = difference_to(processor, settings)
    except (AttributeError, KeyError, OverflowError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CaanError(f"the checkpoint's {kind} is damaged ({reason}); look into its processor's JSON") from error
    if greatest > MAX_RARE_GREY_LEVELS + TOLERANCE or share > RARE:
        raise CaanError(
            f"the checkpoint's {kind} prepares pictures otherwise than the runtime without torch would (by up to "
            f"{greatest:.1f} grey levels, {MAX_GREY_LEVELS:.0f} is allowed)"
        )
    return settings


def _settings(processor, kind: str) -> Preprocessing:
    given = processor.image_processor
    unknown = [step for step in UNKNOWN_STEPS if getattr(given, step, None)]
    if unknown:
        raise CaanError(f"the checkpoint's {kind} sets {', '.join(unknown)}, which the runtime without torch cannot do")
    rescaled, normalised = bool(getattr(given, "do_rescale", False)), bool(getattr(given, "do_normalize", False))
    return Preprocessing(
        size=_size(given.size, kind) if getattr(given, "do_resize", True) else None,
        crop=_pair(given.crop_size) if getattr(given, "do_center_crop", False) else None,
        resample=int(given.resample) if given.resample is not None else int(Image.Resampling.BILINEAR),
        scale=float(given.rescale_factor) if rescaled else 1.0,
        mean=_triple(given.image_mean) if normalised else (0.0, 0.0, 0.0),
        std=_triple(given.image_std) if normalised else (1.0, 1.0, 1.0),
        sketch_margin=float(processor.sketch_margin),
    )


def difference_to(processor, settings: Preprocessing) -> tuple[float, float]:
    """Greatest difference in grey levels, and the share of values that differ by more than `MAX_GREY_LEVELS`.

    Over drawn pictures and pure noise, which is the worst there is, enlarged and reduced.
    """
    generator = np.random.default_rng(0)
    pictures = [Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in PICTURES]
    pictures += [draw_object("tent", modality, seed=0, index=0, image_size=96) for modality in ("photo", "sketch")]
    levels = np.asarray(settings.std)[:, None, None] / settings.scale  # (3, 1, 1)
    differences = []
    for picture in pictures:
        expected = processor(photos=[picture])["pixel_values"][0].numpy()
        found = settings.photo(picture)
        if found.shape != expected.shape:
            return float("inf"), 1.0
        differences.append((np.abs(found - expected) * levels).ravel())
    together = np.concatenate(differences)
    return float(together.max()), float((together > MAX_GREY_LEVELS + TOLERANCE).mean())


def _size(size, kind: str) -> tuple[int, int] | int:
    if size.get("height") and size.get("width"):
        return _pair(size)
    if size.get("shortest_edge") and not size.get("longest_edge"):
        return int(size["shortest_edge"])
    raise CaanError(f"the checkpoint's {kind} resizes to {dict(size)}, which the runtime without torch cannot do")


def _pair(size) -> tuple[int, int]:
    return int(size["height"]), int(size["width"])


def _triple(values) -> tuple[float, float, float]:
    values = [values] * 3 if isinstance(values, (int, float)) else list(values)
    return tuple(float(value) for value in values)
