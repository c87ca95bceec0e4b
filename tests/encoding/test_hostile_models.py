"""Models from strangers: every damaged or hostile folder is an error of one line, in bounded time and memory."""

import json
import os
import resource
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import IMAGE_SIZE, VISION
from transformers import AutoModel, AutoProcessor, ViTImageProcessor
from vision_models import save_vit

from caan_hf import CaanConfig, CaanError, CaanModel, CaanProcessor, load_encoder

CONFIG, PROCESSOR, WEIGHTS = "config.json", "processor_config.json", "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
SECONDS = 20  # on a busy machine
MEMORY = 2 * 2**30
HUGE = 10**9
Edit = Callable[[Path], None]


def write(name: str, content: str | bytes) -> Edit:
    """Replace a file."""
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def setting(name: str, path: str, value) -> Edit:
    """Change one setting in a JSON file; `path` is the dotted place of the key."""

    def edit(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        *parents, key = path.split(".")
        place = document
        for parent in parents:
            place = place[parent]
        place[key] = value
        (folder / name).write_text(json.dumps(document))

    return edit


def index(weight_map: dict) -> Edit:
    """Replace the weights by an index."""

    def edit(folder: Path) -> None:
        shutil.move(folder / WEIGHTS, folder / "renamed.safetensors")
        torch.save({}, folder / "pytorch_model.bin")
        (folder.parent / "outside.safetensors").write_bytes((folder / "renamed.safetensors").read_bytes())
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))

    return edit


def weights(change: Callable[[dict], object]) -> Edit:
    """Change the stored tensors."""

    def edit(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return edit


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({}, folder / "pytorch_model.bin")


def fifo(name: str) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return edit


def endless(name: str) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to("/dev/zero")

    return edit


def sparse(name: str) -> Edit:
    """A file of 1 TB that occupies no disk."""

    def edit(folder: Path) -> None:
        with (folder / name).open("wb") as stream:
            stream.truncate(2**40)

    return edit


def timm(**settings) -> Edit:
    """A tower of timm."""
    tower = {"model_type": "timm_wrapper", "architecture": "resnet10t", **settings}
    return setting(CONFIG, "photo_config", tower)


def header(declared: int) -> Edit:
    """Weights whose header declares its length."""
    return write(WEIGHTS, struct.pack("<Q", declared) + b"{}")


NESTED = "[" * 200_000 + "]" * 200_000
DIGITS = "9" * 5_000
LARGE_SHAPE = json.dumps({"a": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 4]}}).encode()
CAAN = {
    # files
    "pickle": (pickled, "no model.safetensors"),
    "index of a pickle": (index({"a": "pytorch_model.bin"}), r"index\.json: weight_map"),
    "index leaves the folder": (index({"a": "../outside.safetensors"}), r"index\.json: weight_map"),
    "index with an absolute path": (index({"a": "/etc/passwd.safetensors"}), r"index\.json: weight_map"),
    "index with a backslash": (index({"a": "..\\outside.safetensors"}), r"index\.json: weight_map"),
    "index with a NUL": (index({"a": "a\0.safetensors"}), r"index\.json: weight_map"),
    "index of a missing file": (index({"a": "gone.safetensors"}), r"gone\.safetensors is missing"),
    "index of nothing": (index({}), r"index\.json: weight_map"),
    "index of numbers": (index({"a": 1}), r"index\.json: weight_map"),
    "index is nested": (lambda f: (index({})(f), write(INDEX, NESTED)(f)), r"index\.json: "),
    "config is nested": (write(CONFIG, NESTED), r"config\.json: "),
    "config is a nested object": (write(CONFIG, '{"a":' * 100 + "1" + "}" * 100), r"config\.json: .*nested"),
    "config is a list": (write(CONFIG, "[1]"), r"config\.json: "),
    "config is no JSON": (write(CONFIG, "{"), r"config\.json: "),
    "config is no text": (write(CONFIG, b"\xff\xfe\x00"), r"config\.json: "),
    "config is empty": (write(CONFIG, ""), r"config\.json: "),
    "config is huge": (sparse(CONFIG), r"config\.json: .*too large"),
    "config is a pipe": (fifo(CONFIG), "config.json"),
    "config is a device": (endless(CONFIG), "config.json"),
    "processor is nested": (write(PROCESSOR, NESTED), r"processor_config\.json: "),
    "processor is huge": (sparse(PROCESSOR), r"processor_config\.json: .*too large"),
    "processor is a pipe": (fifo(PROCESSOR), r"processor_config\.json: .*not a regular file"),
    "processor is a device": (endless(PROCESSOR), r"processor_config\.json: .*not a regular file"),
    "tokenizer is huge": (sparse("tokenizer.json"), r"tokenizer\.json: .*too large"),
    "template is a device": (endless("chat_template.jinja"), r"chat_template\.jinja: .*not a regular file"),
    "weights are a pipe": (fifo(WEIGHTS), "no model.safetensors"),
    "weights are a device": (endless(WEIGHTS), "no model.safetensors"),
    "weights are empty": (write(WEIGHTS, b""), r"model\.safetensors: "),
    "weights declare a large header": (header(2**62), r"model\.safetensors: "),
    "weights declare 100 MB": (header(99_000_000), r"model\.safetensors: "),
    "weights have a nested header": (
        write(WEIGHTS, struct.pack("<Q", len(NESTED)) + NESTED.encode()),
        r"model\.safetensors: ",
    ),
    "weights of a large shape": (
        write(WEIGHTS, struct.pack("<Q", len(LARGE_SHAPE)) + LARGE_SHAPE + b"\0" * 4),
        r"model\.safetensors: ",
    ),
    "weights of another shape": (weights(lambda w: w.update({"relation.layers.0.weight": torch.zeros(3)})), "relation"),
    "weights are missing": (weights(lambda w: w.pop("relation.layers.0.weight")), "1 weights are missing"),
    "an adapter": (write("adapter_config.json", '{"base_model_name_or_path": "evil/model"}'), "adapter"),
    # configuration
    "unknown type": (setting(CONFIG, "model_type", "evil"), "evil"),
    "unknown type with code": (
        lambda f: (setting(CONFIG, "model_type", "evil")(f), setting(CONFIG, "auto_map", {"AutoModel": "e--m.E"})(f)),
        "evil",
    ),
    "type is a list": (setting(CONFIG, "model_type", ["caan"]), "model"),
    "unknown tower": (setting(CONFIG, "photo_config.model_type", "evil"), "evil|photo_config"),
    "text as tower": (setting(CONFIG, "photo_config", {"model_type": "bert", "hidden_size": 32}), "."),
    "tower is a list": (setting(CONFIG, "photo_config", [1]), "photo_config"),
    "tower is a string": (setting(CONFIG, "photo_config", "vit"), "photo_config"),
    "patch size 0": (setting(CONFIG, "photo_config.patch_size", 0), r"photo_config\.patch_size must be at least 1"),
    "patch size -4": (setting(CONFIG, "photo_config.patch_size", -4), r"photo_config\.patch_size must be at least 1"),
    "patch size 1e9": (setting(CONFIG, "photo_config.patch_size", HUGE), r"photo_config\.patch_size must be at most"),
    "patch size is text": (setting(CONFIG, "photo_config.patch_size", "4"), "patch_size"),
    "patches are too many": (setting(CONFIG, "photo_config.image_size", 4096), r"photo_config\.image_size"),
    "layers 1e9": (setting(CONFIG, "photo_config.num_hidden_layers", HUGE), "num_hidden_layers must be at most"),
    "layers 200": (setting(CONFIG, "photo_config.num_hidden_layers", 200), "weights are missing"),
    "layers of the text tower": (setting(CONFIG, "text_config.num_hidden_layers", HUGE), "num_hidden_layers"),
    "layers of many digits": (
        lambda f: write(CONFIG, (f / CONFIG).read_text().replace('"patch_size": 4', f'"patch_size": {DIGITS}'))(f),
        r"config\.json: ",
    ),
    "layers 1e999": (
        lambda f: write(CONFIG, (f / CONFIG).read_text().replace('"patch_size": 4', '"patch_size": 1e999'))(f),
        "patch_size",
    ),
    "heads 0": (setting(CONFIG, "photo_config.num_attention_heads", 0), "num_attention_heads must be at least 1"),
    "heads 1e9": (setting(CONFIG, "photo_config.num_attention_heads", HUGE), "num_attention_heads must be at most"),
    "width 1e9": (setting(CONFIG, "photo_config.hidden_size", HUGE), "hidden_size must be at most"),
    "width 65536": (
        lambda f: [setting(CONFIG, f"{tower}_config.hidden_size", 65536)(f) for tower in ("sketch", "photo")],
        "values, but the weights hold",
    ),
    "feed-forward 1e6": (setting(CONFIG, "photo_config.intermediate_size", 10**6), "values, but the weights hold"),
    "feed-forward 1e12": (setting(CONFIG, "photo_config.intermediate_size", 10**12), "intermediate_size"),
    "channels 0": (setting(CONFIG, "photo_config.num_channels", 0), "num_channels"),
    "channels 7": (setting(CONFIG, "photo_config.num_channels", 7), "photo_model"),
    "labels 1e9": (setting(CONFIG, "num_labels", HUGE), "num_labels must be at most"),
    "labels of the tower 1e9": (setting(CONFIG, "photo_config.num_labels", HUGE), "num_labels must be at most"),
    "image size 0": (setting(CONFIG, "image_size", 0), "image_size"),
    "image size 1e9": (setting(CONFIG, "image_size", HUGE), "image_size must"),
    "image size 4096": (setting(CONFIG, "image_size", 4096), "image_size must give at most 128 patches"),
    "tower of another activation": (setting(CONFIG, "photo_config.hidden_act", "evil"), "evil"),
    "relation grid 1e9": (setting(CONFIG, "local_grid", HUGE), "local_grid must be at most"),
    "relation grid 5": (setting(CONFIG, "local_grid", 5), "relation"),
    "relation dim 1e9": (setting(CONFIG, "local_dim", HUGE), "local_dim must be at most"),
    "relation layers 1e6": (setting(CONFIG, "relation_hidden_sizes", [1] * 10**6), "relation_hidden_sizes"),
    "relation width 1e9": (setting(CONFIG, "relation_hidden_sizes", [HUGE]), "relation_hidden_sizes must be at most"),
    "relation width is text": (setting(CONFIG, "relation_hidden_sizes", ["x"]), "relation_hidden_sizes"),
    "projection 1e9": (setting(CONFIG, "projection_dim", HUGE), "projection_dim must be at most"),
    "dtype": (setting(CONFIG, "dtype", "evil"), "evil|dtype"),
    "weights elsewhere": (setting(CONFIG, "transformers_weights", "../a.safetensors"), "transformers_weights"),
    "quantisation": (setting(CONFIG, "quantization_config", {"quant_method": "gptq", "bits": 4}), "quantization"),
    "kernel of the Hub": (setting(CONFIG, "attn_implementation", "evil/kernel"), "attn_implementation"),
    "kernel of the tower": (setting(CONFIG, "photo_config._attn_implementation", "e/k"), "attn_implementation"),
    "swin of many layers": (
        setting(CONFIG, "photo_config", {"model_type": "swin", "depths": [200, 200], "num_heads": [1, 1]}),
        r"photo_config\.depths must add up to at most",
    ),
    "timm reads a pickle": (timm(model_args={"checkpoint_path": "/tmp/evil.pth"}), "checkpoint_path"),
    "timm reads the Hub": (timm(architecture="hf-hub:evil/model"), "architecture"),
    "timm reads a folder": (timm(architecture="local-dir:/etc"), "architecture"),
    "timm of many layers": (timm(architecture="vit_tiny_patch16_224", model_args={"depth": HUGE}), "depth"),
    "timm of unknown arguments": (timm(model_args={"evil": 1}), "evil"),
    "timm of an unknown name": (timm(architecture="evil"), "evil"),
    # processor
    "sizes of 1e9": (setting(PROCESSOR, "image_processor.size.height", HUGE), r"height"),
    "sizes of 1e6": (setting(PROCESSOR, "image_processor.size", {"height": 10**6, "width": 10**6}), r"size\.height"),
    "sizes of 4096": (setting(PROCESSOR, "image_processor.size", {"height": 4096, "width": 4096}), "128 patches"),
    "sizes of 0": (setting(PROCESSOR, "image_processor.size", {"height": 0, "width": 32}), r"size\.height"),
    "sizes of -1": (setting(PROCESSOR, "image_processor.size", {"height": -1, "width": 32}), r"size\.height"),
    "sizes of 1": (setting(PROCESSOR, "image_processor.size", {"height": 1, "width": 1}), "."),
    "sizes are text": (setting(PROCESSOR, "image_processor.size", {"height": "x", "width": "x"}), "size|height"),
    "sizes are a list": (setting(PROCESSOR, "image_processor.size", [HUGE, HUGE]), "size"),
    "sizes have other keys": (setting(PROCESSOR, "image_processor.size", {"evil": 1}), "size"),
    "crop of 1e6": (
        lambda f: (
            setting(PROCESSOR, "image_processor.crop_size", {"height": 10**6, "width": 10**6})(f),
            setting(PROCESSOR, "image_processor.do_center_crop", True)(f),
        ),
        r"crop_size\.height",
    ),
    "resample 99": (setting(PROCESSOR, "image_processor.resample", 99), "resample"),
    "resample -1": (setting(PROCESSOR, "image_processor.resample", -1), "resample"),
    "resample is text": (setting(PROCESSOR, "image_processor.resample", "evil"), "resample"),
    "mean of two": (setting(PROCESSOR, "image_processor.image_mean", [0, 0]), "image_mean"),
    "mean is text": (setting(PROCESSOR, "image_processor.image_mean", "evil"), "image_mean"),
    "mean is null": (setting(PROCESSOR, "image_processor.image_mean", [None] * 3), "image_mean"),
    "mean is NaN": (setting(PROCESSOR, "image_processor.image_mean", [float("nan")] * 3), "image_mean"),
    "std of 0": (setting(PROCESSOR, "image_processor.image_std", [0, 0, 0]), "image_std"),
    "std of infinity": (setting(PROCESSOR, "image_processor.image_std", [float("inf")] * 3), "image_std"),
    "scale is text": (setting(PROCESSOR, "image_processor.rescale_factor", "evil"), "rescale_factor"),
    "scale of 1e300": (setting(PROCESSOR, "image_processor.rescale_factor", 1e300), "rescale_factor"),
    "margin of 1e9": (setting(PROCESSOR, "sketch_margin", 1e9), "sketch_margin"),
    "margin of -1": (setting(PROCESSOR, "sketch_margin", -1), "sketch_margin"),
    "margin is NaN": (setting(PROCESSOR, "sketch_margin", float("nan")), "sketch_margin"),
    "margin is text": (setting(PROCESSOR, "sketch_margin", "x"), "sketch_margin"),
    "text length": (setting(PROCESSOR, "max_text_length", 10**12), "max_text_length"),
    "text length is text": (setting(PROCESSOR, "max_text_length", "x"), "max_text_length"),
    "processor of another model": (setting(PROCESSOR, "processor_class", "CLIPProcessor"), "."),
    "unknown processor": (setting(PROCESSOR, "processor_class", "Evil"), "."),
    "unknown image processor": (setting(PROCESSOR, "image_processor.image_processor_type", "Evil"), "."),
    "image processor of audio": (
        setting(PROCESSOR, "image_processor.image_processor_type", "WhisperFeatureExtractor"),
        ".",
    ),
    "image processor is a list": (setting(PROCESSOR, "image_processor", [1]), "."),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A tiny CAAN with a text tower."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("saved")
    relation = {"local_grid": 4, "local_dim": 8, "relation_hidden_sizes": [16]}
    text = {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 9, "intermediate_size": 8}
    towers = {"sketch_config": dict(VISION), "photo_config": dict(VISION), "image_size": IMAGE_SIZE}
    config = CaanConfig(**towers, **relation, text_config={**text, "num_hidden_layers": 1}, alignment_num_heads=2)
    CaanModel(config).drop_text().save_pretrained(folder)
    document = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**document, "text_config": {**text, "num_hidden_layers": 1}}))
    CaanProcessor(ViTImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "model")


@pytest.fixture
def bounded():
    """Limits the memory that a test may add to that of the process."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refused(folder: Path, message: str) -> None:
    start = time.monotonic()
    with pytest.raises(CaanError, match=message) as error:
        load_encoder(folder, device="cpu")
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    assert len(str(error.value)) < 1000
    assert time.monotonic() - start < SECONDS


def test_the_model_that_is_edited_can_be_loaded(folder, sketch):
    assert load_encoder(folder, device="cpu").encode_sketches(sketch).shape == (1, 32)


@pytest.mark.parametrize(("edit", "message"), CAAN.values(), ids=CAAN.keys())
def test_a_hostile_checkpoint_is_an_error_of_one_line(folder, bounded, edit, message):
    edit(folder)
    refused(folder, message)


UNUSABLE = {  # what a plain `from_pretrained` refuses too, with the key in the message
    "patch_size": setting(CONFIG, "photo_config.patch_size", 0),
    "num_hidden_layers": setting(CONFIG, "photo_config.num_hidden_layers", HUGE),
    "num_labels": setting(CONFIG, "photo_config.num_labels", HUGE),
    "image_size": setting(CONFIG, "image_size", HUGE),
    "local_dim": setting(CONFIG, "local_dim", HUGE),
    "depth": timm(architecture="vit_tiny_patch16_224", model_args={"depth": HUGE}),
    "checkpoint_path": timm(model_args={"checkpoint_path": "/tmp/evil.pth"}),
    "architecture": timm(architecture="hf-hub:evil/model"),
    "height": setting(PROCESSOR, "image_processor.size", {"height": HUGE, "width": HUGE}),
    "resample": setting(PROCESSOR, "image_processor.resample", 99),
    "image_mean": setting(PROCESSOR, "image_processor.image_mean", [0, 0]),
    "image_std": setting(PROCESSOR, "image_processor.image_std", [0, 0, 0]),
    "sketch_margin": setting(PROCESSOR, "sketch_margin", 1e9),
    "max_text_length": setting(PROCESSOR, "max_text_length", 10**12),
}


@pytest.mark.parametrize(("key", "edit"), UNUSABLE.items(), ids=UNUSABLE.keys())
def test_the_auto_classes_name_the_setting_that_is_out_of_bounds(folder, bounded, key, edit):
    edit(folder)
    with pytest.raises(ValueError, match=key):
        AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)


BASELINE = {
    "pickle": (pickled, "no model.safetensors"),
    "index of a pickle": (index({"a": "pytorch_model.bin"}), r"index\.json: weight_map"),
    "patch size 0": (setting(CONFIG, "patch_size", 0), "patch_size must be at least 1"),
    "layers 1e9": (setting(CONFIG, "num_hidden_layers", HUGE), "num_hidden_layers must be at most"),
    "labels 1e9": (setting(CONFIG, "num_labels", HUGE), "num_labels must be at most"),
    "width": (
        lambda f: (setting(CONFIG, "hidden_size", 65536)(f), setting(CONFIG, "intermediate_size", 65536)(f)),
        "values, but the weights hold",
    ),
    "images of 1e6": (setting(CONFIG, "image_size", 10**6), "image_size must"),
    "not a vision model": (setting(CONFIG, "model_type", "bert"), "."),
    "timm reads a pickle": (
        write(CONFIG, '{"architecture": "resnet10t", "model_args": {"checkpoint_path": "/tmp/evil.pth"}}'),
        "checkpoint_path",
    ),
    "timm reads the Hub": (write(CONFIG, '{"architecture": "hf-hub:evil/model"}'), "architecture"),
    "code": (write(CONFIG, '{"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}}'), "."),
    "processor of another kind": (setting("preprocessor_config.json", "image_processor_type", "Evil"), "."),
    "mean of two": (setting("preprocessor_config.json", "image_mean", [0, 0]), "image_mean"),
    "resample 99": (setting("preprocessor_config.json", "resample", 99), "resample"),
    "no processor": (lambda f: (f / "preprocessor_config.json").unlink(), "."),
}


@pytest.fixture(scope="module")
def saved_vit(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    save_vit(folder)
    return folder


@pytest.mark.parametrize(("edit", "message"), BASELINE.values(), ids=BASELINE.keys())
def test_a_hostile_vision_model_is_an_error_of_one_line(saved_vit, tmp_path, bounded, edit, message):
    folder = shutil.copytree(saved_vit, tmp_path / "model")
    edit(folder)
    refused(folder, message)
