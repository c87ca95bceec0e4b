"""Measure validation mAP@all by the resolution of sketches and photos, with and without centred features.

    python bench/resolution.py CHECKPOINT DATA [--sizes 128 160 192 224] [--record bench/records/resolution.json]

Every image is encoded once per size. "Centred" subtracts from the features of each modality their mean over training
images at that size, as `center_features` does. "Photo-photo" ranks photos for photos, with the query in the gallery.
docs/results.md shows the results.
"""

from caan_export.agreement import load_split
from common import checkpoint_parser, run, write_record
from torch import nn
from torch.nn import functional as F

from caan_hf.encoding.checkpoint import load_checkpoint
from caan_hf.evaluation import evaluate_embeddings
from caan_hf.training.collator import at_size
from caan_hf.training.precompute import encode_rows

TRAINING_STRIDE = 3  # the means are those of a third of the training images


def main() -> None:
    parser = checkpoint_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 160, 192, 224])
    options = parser.parse_args()
    model, processor = load_checkpoint(options.checkpoint)
    validation, training = (load_split(options.data, split) for split in ("validation", "train"))
    if model.config.center_features:
        model.sketch_center.mean.zero_()
        model.photo_center.mean.zero_()
    model.whitening = nn.Identity()
    sides = (("sketch", training.sketches, validation.sketches), ("photo", training.photos, validation.photos))
    features = {}
    for size in options.sizes:
        for modality, seen, images in sides:
            resized = at_size(processor, size)
            some = seen.select(range(0, len(seen), TRAINING_STRIDE))
            mean = encode_rows(model, resized, some, modality).mean(dim=0)
            plain = encode_rows(model, resized, images, modality)
            features[modality, size] = plain, F.normalize(plain - mean, dim=-1)

    def score(queries, gallery, query_categories=validation.sketch_categories) -> float:
        return evaluate_embeddings(queries, gallery, query_categories, validation.photo_categories).metrics["mAP@all"]

    rows = []
    print("sketch px  photo px  plain  centred  photo-photo")
    for sketch_size in options.sizes:
        for photo_size in options.sizes:
            sketch, photo = features["sketch", sketch_size], features["photo", photo_size]
            plain, centred = (score(*pair) for pair in zip(sketch, photo, strict=True))
            among = score(photo[0], photo[0], validation.photo_categories)
            print(f"{sketch_size:9}  {photo_size:8}  {plain:.3f}  {centred:7.3f}  {among:11.3f}", flush=True)
            rows.append({"sketch_size": sketch_size, "photo_size": photo_size})
            rows[-1] |= {"plain": plain, "centred": centred, "photo_to_photo": among}
    write_record(options.record, rows)


if __name__ == "__main__":
    run(main)
