"""The tables of docs/results.md except those of studies, each from the content of its record."""

from statistics import mean
from typing import Any

from caan_hf.research.report import METRIC, SPLIT_NAMES, interval_text, markdown_table, spread, study_rows
from caan_hf.research.runs import StudyResult

LISTED = 5  # number of best categories, and of worst
FOUND = 12  # photos that the page shows for a drawing


def averages(record: list[dict[str, Any]], baseline: str) -> str:
    """A row per average over the seeds of a study; `baseline`, with which the others are compared, is the first."""
    as_runs = [
        StudyResult(
            labels=tuple(row["labels"]),
            seed=0,
            recipe={},
            scores=row["scores"],
            chance={},
            train_seconds=0.0,
            average_precisions=row["average_precisions"],
        )
        for row in record
    ]
    rows = study_rows(sorted(as_runs, key=lambda run: ", ".join(run.labels) != baseline))
    if rows[0].label != baseline:
        raise KeyError(baseline)
    split = f"{SPLIT_NAMES[rows[0].split].partition(' ')[0]} {METRIC}"
    lines = [["average of all seeds", split, f"difference to {baseline}", "95 % interval"]]
    for row in rows:
        (score,), (difference,) = row.compared.values(), row.differences.values()
        compared = ["", ""] if row.interval is None else [f"{difference:+.3f}", interval_text(row.interval)]
        lines.append([row.label, f"{score:.3f}", *compared])
    return markdown_table(lines) + "\n"


def resolution(record: list[dict[str, Any]]) -> str:
    """A row per sketch resolution, a column per photo resolution: mAP@all without and with centred features."""
    cells = {(row["sketch_size"], row["photo_size"]): row for row in record}
    sizes = sorted({row["photo_size"] for row in record})
    lines = [["sketches at", *(f"photos at {size}" for size in sizes)]]
    for sketch in sizes:
        pairs = [cells[sketch, photo] for photo in sizes]
        lines.append([str(sketch), *(f"{pair['plain']:.3f}, {pair['centred']:.3f}" for pair in pairs)])
    among = [cells[sizes[0], photo]["photo_to_photo"] for photo in sizes]
    lines.append(["photo to photo", *(f"{score:.3f}" for score in among)])
    return markdown_table(lines) + "\n"


def rescoring(record: list[dict[str, Any]]) -> str:
    """A row per weight of query expansion, a column per number of photos."""
    scores = {(row["k"], row["weight"]): row["mAP@all"] for row in record if row["change"] == "expansion"}
    ks, weights = (sorted({key[place] for key in scores}) for place in (0, 1))
    lines = [["weight of the photos", *(f"K = {k}" for k in ks)]]
    lines += [[f"{weight:g}", *(f"{scores[k, weight]:.3f}" for k in ks)] for weight in weights]
    return markdown_table(lines) + "\n"


def page_options(record: dict[str, Any]) -> str:
    """A row per rule for "nothing fits", and a row per number of photos in a category with and without expansion."""
    lines = [["rule", "area under the curve", "found", "right of 12 below the threshold", "any of 12 right"]]
    for row in record["unmatched"]:
        shares = f"{row['found']:.0%}", f"{row['right_of_12']:.1f}", f"{row['any_of_12']:.0%}"
        lines.append([row["rule"], f"{row['auc']:.2f}", *shares])
    names = [name for name in record["expanded"][0] if name != "photos"]
    more = [["photos per category", *names]]
    more += [[str(row["photos"]), *(f"{row[name]:.3f}" for name in names)] for row in record["expanded"]]
    return f"{markdown_table(lines)}\n\n{markdown_table(more)}\n"


def smoothing(record: list[dict[str, Any]]) -> str:
    """A row per number of neighbours and weight of the correction of hubs, a column per gallery."""
    places = {
        "validation": "validation photos",
        "mixed": "mixed, unseen",
        "seen": "mixed, seen",
        "harmonic": "harmonic mean",
        "rare 1": "1 right photo",
        "rare 2": "2 right",
        "rare 3": "3 right",
    }
    measured = [place for place in places if f"{place} {METRIC}" in record[0]]
    lines = [["K", "weight", *(places[place] for place in measured)]]
    for row in record:
        with_precision = ("mixed", "seen", "harmonic")
        cells = [
            f"{row[f'{place} {METRIC}']:.3f}" + (f", {row[f'{place} P@12']:.3f}" if place in with_precision else "")
            for place in measured
        ]
        lines.append([str(row["smooth"]), f"{row['hub_weight']:g}", *cells])
    return markdown_table(lines) + "\n"


def sketches(record: dict[str, Any]) -> str:
    """A row per kind of drawing: mAP@all with the cleaning of an earlier version and with today's."""
    before, after = record["before"], record["after"]
    clean = after["clean"]["mAP@all"]
    lines = [["drawing", "before", "after", "share of clean"]]
    for kind, now in after.items():
        refused = before[kind]["refused"]
        earlier = f"{refused} of {record['sketches']} refused" if refused else f"{before[kind]['mAP@all']:.3f}"
        lines.append([kind, earlier, f"{now['mAP@all']:.3f}", f"{now['mAP@all'] / clean:.2f}"])
    return markdown_table(lines) + "\n"


def shipped(unseen: dict[str, Any], generalized: dict[str, Any]) -> str:
    """A row per gallery and ranking."""
    lines = [["gallery", "ranking", METRIC, "95 % interval", "P@100", f"chance {METRIC}"]]
    names = {None: "cosine", "reranked": "its first 100 re-ranked by the fused score", "expanded": "`--expand 5`"}
    for gallery, metrics in (("unseen categories", unseen), ("and a fifth of the seen photos", generalized)):
        described = f"{gallery}, {metrics['num_gallery']:,} photos"
        for key, name in names.items():
            ranking = metrics if key is None else metrics.get(key)
            if ranking is None:
                continue
            scores = ranking["conventions"]["standard"]
            low, high = ranking["confidence"]["standard"][METRIC]
            cells = [f"{scores[METRIC]:.3f}", f"{low:.3f} to {high:.3f}", f"{scores['P@100']:.3f}"]
            lines.append([described, name, *cells, f"{metrics['chance'][METRIC]:.3f}"])
    return markdown_table(lines) + "\n"


def models(record: list[dict[str, Any]]) -> str:
    """A row per gallery, kind of query and model."""
    names = {"cosine": "cosine", "re-ranked": "its first 100 re-ranked", "default": "search by default"}
    kinds = {"unseen": "sketches of unseen categories", "seen": "drawings of seen categories"}
    lines = [["gallery", "queries", f"chance {METRIC}", "model", *names.values()]]
    for row in sorted(record, key=lambda row: (row["photos"], row["queries"] == "seen")):
        photos = f"{row['photos']:,} photos" + (" of unseen categories" if row["gallery"] == "unseen" else "")
        cells = [", ".join(f"{value:.3f}" for value in row["rankings"].get(name, {}).values()) for name in names]
        lines.append([photos, kinds[row["queries"]], f"{row['chance']:.3f}", row["model"], *cells])
    return markdown_table(lines) + "\n"


def whitening(record: list[dict[str, Any]]) -> str:
    """A row per power, with the means over the models."""
    rankings = [name for name in record[0] if name not in ("model", "power")]
    lines = [["power", *rankings]]
    for power in dict.fromkeys(row["power"] for row in record):
        rows = [row for row in record if row["power"] == power]
        means = [{name: mean(row[ranking][name] for row in rows) for name in rows[0][ranking]} for ranking in rankings]
        lines.append([f"{power:g}", *(", ".join(f"{value:.3f}" for value in one.values()) for one in means)])
    return markdown_table(lines) + "\n"


def fine_tune(record: list[dict[str, Any]]) -> str:
    """A row per start and learning rate of the towers."""
    starts = {"model": "trained model", "pretrained": "pretrained towers"}
    lines = [["start", "learning rate of the towers", "steps", "own categories", "other categories"]]
    for row in record:
        how = ["not trained further", ""] if row["rate"] is None else [f"{row['rate']:.0e}", str(row["steps"])]
        lines.append([starts[row["start"]], *how, *(f"{row[name][METRIC]:.3f}" for name in ("own", "others"))])
    return markdown_table(lines) + "\n"


def ten_drawings(record: list[dict[str, Any]]) -> str:
    """A row per drawing: for each query the number of right photos, and the categories found most."""
    names = list(dict.fromkeys(row["query"] for row in record))
    rows = {(row["drawing"], row["query"]): row for row in record}
    lines = [["drawing", *(cell for name in names for cell in (name, "most found"))]]
    for drawing in dict.fromkeys(row["drawing"] for row in record):
        of_queries = [rows[drawing, name] for name in names]
        lines.append([drawing, *(cell for row in of_queries for cell in (str(row["right"]), ", ".join(row["found"])))])
    totals = [sum(row["right"] for row in record if row["query"] == name) for name in names]
    lines.append(["all", *(cell for total in totals for cell in (f"{total} of {FOUND * len(lines[1:])}", ""))])
    return markdown_table(lines) + "\n"


def categories(metrics: dict[str, Any]) -> str:
    """The best and the worst categories side by side, each with the one that it is confused with most."""
    by_category = metrics["by_category"]
    ranked = sorted(by_category, key=lambda name: by_category[name][METRIC], reverse=True)

    def cells(name: str) -> list[str]:
        found = by_category[name]
        return [word.replace("_", " ") for word in (name, f"{found[METRIC]:.2f}", found["most_confused_with"])]

    lines = [["best", METRIC, "confused with", "", "worst", METRIC, "confused with"]]
    pairs = zip(ranked[:LISTED], ranked[: -LISTED - 1 : -1], strict=True)
    lines += [[*cells(best), "", *cells(worst)] for best, worst in pairs]
    return markdown_table(lines) + "\n"


def encoders(record: dict[str, Any]) -> str:
    """A row per engine: speed and its ratio to the first engine by batch size, agreement with its rankings."""
    engines = record["engines"]
    sizes = [timed["batch"] for timed in engines[0]["speed"]]
    lines = [["photo encoder", *(f"batch size {size}" for size in sizes), "top-10 overlap", f"change in {METRIC}"]]
    for row in engines:
        cells = [
            f"{timed['per_second']:.0f}/s ({timed['ratio']:.2f}, CPU {timed['cpu_ratio']:.2f})"
            for timed in row["speed"]
        ]
        change = row["mAP@all"] - engines[0]["mAP@all"]
        lines.append([row["engine"], *cells, f"{row['top10_overlap']:.3f}", f"{change:+.4f}"])
    return markdown_table(lines) + "\n"


def explanations(record: dict[str, Any]) -> str:
    """Distances of matched regions by photo, a table per position prior, and decreases by the regions that are grey."""
    regions = f"{record['greyed']} of {record['grid'] ** 2} regions painted grey"
    names = {"local": "decrease of the local score", "fused": "of the fused score"}
    before = ", ".join(f"{value:.3f} ({name})" for name, value in record["before"].items())
    note = (
        f"{record['pairs']} pairs, {record['grid']} x {record['grid']} regions, weight of the position prior "
        f"{record['position_weight']:g}; mean scores before the deletion: {before}."
    )
    weights = dict.fromkeys(row["position_weight"] for row in record["distance"])
    distances = [
        _compared(
            [row for row in record["distance"] if row["position_weight"] == weight],
            f"photo, w_pos {weight:g}",
            {"distance": "distance of matched regions"},
        )
        for weight in weights
    ]
    return "\n\n".join([*distances, _compared(record["deletion"], regions, names), note]) + "\n"


def local_matching(record: list[dict[str, Any]]) -> str:
    """A row per method: its weights, and mAP@all by cosine, by the local score and by the fused score."""
    names = {"cosine": "cosine", "local, first 100": "local", "fused, first 100": "fused"}
    splits = [split for split in ("validation", "test") if split in record[0]]
    header = ["method", "seeds", "w_pos", "w"]
    for split in splits:
        word = "unseen" if split == "test" else split
        header += [f"{word}: {name}" for name in names.values()] + ["fused - cosine"]
    lines = [header]
    for row in record:
        cells = [row["method"], str(row["seeds"]), f"{row['position']:g}", f"{row['weight']:g}"]
        for split in splits:
            cells += [f"{row[split][name]['mAP']:.3f}" for name in names]
            fused = row[split]["fused, first 100"]
            cells.append(f"{fused['difference']:+.3f} ({interval_text(fused['interval'])})")
        lines.append(cells)
    return markdown_table(lines) + "\n"


TEXT_BASELINES = {"B": "A", "C": "B", "D": "B", "E": "D", "F": "D", "G": "D"}
"""First letter of a row of the study of text to that of the row that it is compared with."""


def text(runs: list[StudyResult], words: list[dict[str, Any]]) -> str:
    """A row per training with the difference to its baseline; then a row per query with words of each training."""
    lines = [["training", "seeds"]]
    for name in SPLIT_NAMES.values():
        lines[0] += [f"{name}, {METRIC}", "difference", "95 % interval"]
    by_letter: dict[str, list[StudyResult]] = {}
    for result in sorted(runs, key=lambda result: (result.labels, result.seed)):
        by_letter.setdefault(result.labels[0][0], []).append(result)
    for letter, results in by_letter.items():
        baseline = TEXT_BASELINES.get(letter, "")
        line = [results[0].labels[0], str(len(results))]
        for split in SPLIT_NAMES:
            *_, row = study_rows([*by_letter.get(baseline, []), *results], split)
            line += [spread(row.compared.values()), "", ""]
            if baseline in by_letter and row.differences:
                line[-2:] = [f"to {baseline}: {spread(row.differences.values(), '+')}", interval_text(row.interval)]
        lines.append(line)
    queries = [["training", "seeds", "query", "ranks"]]
    queries[0] += [f"{name}, {METRIC} (chance)" for name in SPLIT_NAMES.values()]
    for row in words:
        for name in row["validation"]:
            cells = [f"{row[split][name]['mAP']:.3f} ({row[split][name]['chance']:.3f})" for split in SPLIT_NAMES]
            queries.append([row["row"], str(row["seeds"]), *name.split(" -> "), *cells])
    return f"{markdown_table(lines)}\n\n{markdown_table(queries)}\n"


def local_tokens(record: list[dict[str, Any]]) -> str:
    """A row per grid and width: bytes per photo and mAP@all in both formats, beside that of the cosine alone."""
    scores = {(row["grid"], row.get("width"), row.get("dtype")): row for row in record}
    lines = [["grid", "values per token", "float16", METRIC, "int8", METRIC]]
    for grid, width in dict.fromkeys((row["grid"], row["width"]) for row in record if row["grid"]):
        cells = [f"{grid} x {grid}", str(width)]
        for dtype in ("float16", "int8"):
            row = scores[grid, width, dtype]
            cells += [f"{row['bytes'] / 1000:.1f} kB", f"{row['mAP@all']:.3f}"]
        lines.append(cells)
    cosine = scores[None, None, None]["mAP@all"]
    return markdown_table(lines) + f"\n\nThe cosine alone reaches {cosine:.3f}.\n"


def fine_grained(record: list[dict[str, Any]]) -> str:
    """A row per checkpoint, ranking and weight of the position prior; chance comes first."""
    lines = [["checkpoint", "ranking", "w_pos", "Acc@1", "Acc@5", "MRR"]]
    chance = next(row for row in record if row["ranking"] == "chance")
    lines.append(["chance", "", "", *(f"{chance['metrics'][name]:.3f}" for name in lines[0][3:])])
    for row in record:
        if row["ranking"] == "chance":
            continue
        position = "" if row["ranking"] == "global" else f"{row['position']:g}"
        cells = [f"{row['metrics'][name]:.3f} ({_range(row['confidence'][name])})" for name in lines[0][3:]]
        lines.append([row["name"], "cosine" if row["ranking"] == "global" else row["ranking"], position, *cells])
    return markdown_table(lines) + "\n"


def rerank(record: dict[str, Any]) -> str:
    """A row per kind of local matching and contender, and a sentence on the evaluation of a whole benchmark."""
    names = {"ours": "read from disk when needed", "plain": "all in memory, einsum"}
    lines = [["local matching", "local embeddings", "pairs per CPU second", "per second", "peak memory"]]
    for row in record["rows"]:
        speeds = [f"{row['pairs'] / row[clock]:,.0f}" for clock in ("cpu_seconds", "seconds")]
        lines.append([row["kind"], names[row["contender"]], *speeds, f"{row['peak_gib']:.2f} GiB"])
    whole = record["whole"]
    rank, rerank = (whole["seconds"][stage] for stage in ("rank", "rerank"))
    size = f"{whole['sketches']:,} x {whole['photos']:,} with the best {whole['k']} re-ranked by late interaction"
    times = f"{rank:.1f} s to rank, {rerank:.0f} s to re-rank"
    return markdown_table(lines) + f"\n\nAn evaluation of {size}: {times}, peak memory {whole['peak_gib']:.2f} GiB.\n"


def multivector(record: dict[str, Any]) -> str:
    """A row per first stage."""
    lines = [["first stage", "CPU time", "time", "recall@100", "without prior", "P@10", "bytes per photo", "built in"]]
    for row in record["rows"]:
        times = [f"{row[clock]:,.0f} ms" for clock in ("cpu_milliseconds", "milliseconds")]
        scores = [f"{row[name]:.3f}" for name in ("recall", "recall_without_prior", "P@10")]
        built = "" if row["build_seconds"] is None else f"{row['build_seconds']:.0f} s"
        lines.append([row["name"], *times, *scores, f"{row['bytes'] / 1000:.1f} kB", built])
    return markdown_table(lines) + (
        f"\n\n{record['photos']:,} photos of {record['tokens']} tokens with {record['width']} values, "
        f"{record['queries']} queries.\n"
    )


def _compared(rows: list[dict[str, Any]], title: str, names: dict[str, str]) -> str:
    """A row per kind; each value with its interval, and with its paired difference from that of the first row."""
    lines = [[title, *(text for name in names.values() for text in (name, "difference"))]]
    for row in rows:
        values = [row[name] for name in names]
        cells = [text for value in values for text in (_with_interval(value), _difference(value))]
        lines.append([row["kind"], *cells])
    return markdown_table(lines)


def _with_interval(value: dict[str, Any]) -> str:
    return f"{value['mean']:.3f} ({_range(value['interval'])})"


def _range(interval: list[float]) -> str:
    return "{:.3f} to {:.3f}".format(*interval)


def _difference(value: dict[str, Any]) -> str:
    if "difference" not in value:
        return ""
    return f"{value['difference']:+.3f} ({interval_text(value['difference_interval'])})"


def photos(record: list[dict[str, Any]]) -> str:
    """A row per file format: photos per second, cosine to full decoding and memory."""
    lines = [["12 megapixels", "`caan index`", "CPU time", "plain loop", "ratio", "cosine, mean", "smallest", "memory"]]
    for row in record:
        speeds = row["per_second"], row["loop_per_second"]
        cells = [f"{speeds[0]:.1f}/s", f"{row['cpu_ms']:.0f} ms", f"{speeds[1]:.1f}/s", f"{speeds[0] / speeds[1]:.1f}"]
        cells += [f"{row[key]:.5f}" for key in ("mean_cosine", "smallest_cosine")]
        lines.append([row["kind"], *cells, f"{row['grown_gib']:.2f} GiB"])
    return markdown_table(lines) + "\n"


def serve(record: dict[str, Any]) -> str:
    """A row per model and number of clients, with the service beside the demo's API."""
    rows = {(row["model"], row["clients"], row["server"]): row for row in record["rows"]}
    header = ["model", "clients", "server", "answers per second", "ratio", "p50", "p95", "CPU time", "refused"]
    lines = [header]
    for (model, clients, server), row in rows.items():
        ratio = row["per_second"] / rows[model, clients, "caan-demo"]["per_second"]
        cells = [
            f"ONNX (`{model}`)" if model else "checkpoint (torch)",
            str(clients),
            f"`{server}`",
            f"{row['per_second']:.1f}",
            f"{ratio:.1f}",
        ]
        cells += [f"{row['p50']:.2f} s", f"{row['p95']:.2f} s", f"{1000 * row['cpu']:.0f} ms", str(row["refused"])]
        lines.append(cells)
    note = f"{record['photos']:,} photos, {record['cores']} cores, 12 results, {record['seconds']:.0f} s per row."
    return f"{markdown_table(lines)}\n\n{note}\n"


def web(record: dict[str, Any]) -> str:
    """A row per precision and set of drawings, and a row per number of photos."""
    lines = [["weights", "size", "drawings", "photos", "same ten photos", "same order", "smallest cosine"]]
    for row in record["results"]:
        counts = [f"{row[name]} ({row[name] / row['drawings']:.1%})" for name in ("same", "ordered")]
        size = f"{row['bytes'] / 1e6:.1f} MB"
        lines.append([row["dtype"], size, str(row["drawings"]), str(row["photos"]), *counts, f"{row['cosine']:.5f}"])
    stages = ("clean", "encode", "search", "pad and display")
    more = [["photos", "folder", *stages, "page, total", "demo, total", "ratio", "load"]]
    for row in record["times"]:
        page, demo = row["page"], row["demo"]["total"]
        totals = [f"{page['total']} ms", f"{demo} ms", f"{page['total'] / demo:.2f}"]
        cells = [f"{row['photos']:,}", f"{row['bytes'] / 1e6:.0f} MB", *(str(page[name]) for name in stages), *totals]
        more.append([*cells, " to ".join(map(str, sorted(row["load"])))])
    return f"{markdown_table(lines)}\n\n{markdown_table(more)}\n"


def gpu(record: dict[str, Any]) -> str:
    """A row per engine and architecture: images per second, and the share of a matrix product's operations."""
    lines = [["towers", "work", "engine", "images/s", "share of a matrix product", "largest difference from torch"]]
    for row in record["speeds"]:
        share = "" if row["share"] is None else f"{100 * row['share']:.0f} %"
        parity = record["parity"].get(f"{row['towers']}, {row['engine']}")
        difference = f"{parity['difference']:.1e} ({parity['allowed']:.0e} allowed)" if parity else ""
        cells = [row["towers"], row["work"], row["engine"], f"{row['images_per_second']:,.0f}", share, difference]
        lines.append(cells)
    note = f"{record['device']}, torch {record['torch']}, onnxruntime {record['onnxruntime']}"
    return markdown_table(lines) + f"\n\n{note}, batches of {record['batch_size']} images.\n"
