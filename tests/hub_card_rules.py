"""Problems that the Hub's `validate-yaml` reports in the metadata of a card, after its published specification.

https://github.com/huggingface/hub-docs: `modelcard.md`, `datasetcard.md` and the reference of Spaces.
"""

import re

import yaml

IDENTIFIER = re.compile(r"(?:[\w-]+/)?[\w\-.]+")
FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
LICENCES = {"apache-2.0", "mit", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "bsd-3-clause", "other", "unknown"}
PIPELINE_TAGS = {"image-feature-extraction", "feature-extraction", "image-to-image", "zero-shot-image-classification"}
SPACE_SDKS = {"gradio", "docker", "static"}
SPACE_COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def problems(content: str, kind: str) -> list[str]:
    """One sentence per problem."""
    found = FRONT_MATTER.match(content)
    if found is None:
        return []  # the Hub accepts a card without metadata, with a warning
    try:
        data = yaml.safe_load(found.group(1))
    except yaml.YAMLError as error:
        return [f"the metadata is not YAML: {error}"]
    if not isinstance(data, dict):
        return ["the metadata must be a mapping"]
    of_kind = {"model": _model, "dataset": _dataset, "space": _space}[kind]
    return [*_common(data), *of_kind(data)]


def _common(data: dict) -> list[str]:
    wrong = []
    for name in ("tags", "datasets", "metrics", "models"):
        if name in data and not _is_list_of(data[name], str):
            wrong.append(f'"{name}" must be an array of strings')
    licences = data.get("license", [])
    for licence in licences if isinstance(licences, list) else [licences]:
        if licence not in LICENCES:
            wrong.append(f'"license" must be one of [{", ".join(sorted(LICENCES))}]')
    for name in data.get("datasets") or []:
        if isinstance(name, str) and not IDENTIFIER.fullmatch(name):
            wrong.append(f'"datasets[{name}]" must be a valid dataset id')
    if "language" in data and not all(re.fullmatch(r"[a-z]{2,3}", str(code)) for code in _as_list(data["language"])):
        wrong.append('"language" must only contain ISO 639 codes')
    return wrong


def _model(data: dict) -> list[str]:
    wrong = []
    if "pipeline_tag" in data and data["pipeline_tag"] not in PIPELINE_TAGS:
        wrong.append(f'"pipeline_tag" {data["pipeline_tag"]!r} is no task of the Hub')
    for base in _as_list(data.get("base_model", [])):
        if not isinstance(base, str) or not IDENTIFIER.fullmatch(base):
            wrong.append(f'"base_model" {base!r} is not a valid model id')
    if "model-index" not in data:
        return wrong
    if not _is_list_of(data["model-index"], dict) or not data["model-index"]:
        return [*wrong, '"model-index" must be an array of objects']
    for number, model in enumerate(data["model-index"]):
        wrong += _entry(model, f"model-index[{number}]")
    return wrong


def _entry(model: dict, place: str) -> list[str]:
    wrong = [] if isinstance(model.get("name"), str) and model["name"] else [f'"{place}.name" is required']
    if not _is_list_of(model.get("results"), dict):
        return [*wrong, f'"{place}.results" is required']
    for number, result in enumerate(model["results"]):
        wrong += _result(result, f"{place}.results[{number}]")
    return wrong


def _result(result: dict, place: str) -> list[str]:
    wrong = []
    task, dataset, metrics = (result.get(name) for name in ("task", "dataset", "metrics"))
    wrong += _strings(task, f"{place}.task", required=("type",), optional=("name",))
    wrong += _strings(
        dataset, f"{place}.dataset", required=("type", "name"), optional=("config", "split", "revision"), args=True
    )
    if isinstance(dataset, dict) and not IDENTIFIER.fullmatch(str(dataset.get("type"))):
        wrong.append(f'"{place}.dataset.type" must match {IDENTIFIER.pattern}')
    if not _is_list_of(metrics, dict) or not metrics:
        return [*wrong, f'"{place}.metrics" is required']
    for number, metric in enumerate(metrics):
        here = f"{place}.metrics[{number}]"
        value = metric.get("value")
        known = {name: entry for name, entry in metric.items() if name not in ("value", "verified")}
        wrong += _strings(known, here, required=("type",), optional=("name", "config"), args=True)
        if not isinstance(value, (int, float, str)) or isinstance(value, bool) or value != value:  # noqa: PLR0124
            wrong.append(f'"{here}.value" must be a number or a string')
    return wrong


def _strings(entry, place: str, *, required: tuple, optional: tuple, args: bool = False) -> list[str]:
    if not isinstance(entry, dict):
        return [f'"{place}" is required']
    wrong = [f'"{place}.{name}" is required' for name in required if name not in entry]
    for name, value in entry.items():
        if name == "args" and args:
            wrong += [] if isinstance(value, dict) else [f'"{place}.args" must be an object']
        elif name not in (*required, *optional):
            wrong.append(f'"{place}.{name}" is not allowed')
        elif not isinstance(value, str) or not value:
            wrong.append(f'"{place}.{name}" must be a string')
    return wrong


def _dataset(data: dict) -> list[str]:
    wrong = []
    for config in data.get("configs") or []:
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            wrong.append('"configs[].config_name" is required')
        elif not config.get("data_files"):
            wrong.append('"configs[].data_files" is required')
    for size in _as_list(data.get("size_categories", [])):
        if not re.fullmatch(r"n<1K|\d+[KMB]<n<\d+[KMBT]|n>1T", str(size)):
            wrong.append(f'"size_categories" {size!r} is unknown')
    return wrong


def _space(data: dict) -> list[str]:
    wrong = []
    if data.get("sdk") not in SPACE_SDKS:
        wrong.append(f'"sdk" must be one of [{", ".join(sorted(SPACE_SDKS))}]')
    for name in ("colorFrom", "colorTo"):
        if name in data and data[name] not in SPACE_COLOURS:
            wrong.append(f'"{name}" must be one of [{", ".join(sorted(SPACE_COLOURS))}]')
    if len(str(data.get("short_description", ""))) > 60:
        wrong.append('"short_description" length must be less than or equal to 60 characters long')
    return wrong


def _as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def _is_list_of(value, of: type) -> bool:
    return isinstance(value, list) and all(isinstance(entry, of) for entry in value)
