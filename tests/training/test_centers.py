"""Means and principal components that are measured on training images."""

import datasets
import torch

from caan_hf.training.centers import measure_centers
from caan_hf.training.triplets import TripletDataset


def test_measured_means_are_those_of_the_training_images(make_model, processor, train_split):
    model = make_model(text_config=None, center_features=True)
    triplets = TripletDataset(train_split, processor)
    measure_centers(model, processor, triplets.paired_rows())
    measure_centers(model, processor, triplets.paired_rows())  # a second measurement does not depend on the first
    plain = make_model(text_config=None)
    plain.load_state_dict(model.state_dict(), strict=False)
    pixels = processor(sketches=[datasets.Image().decode_example(row["image"]) for row in triplets.sketches])
    mean = plain.get_sketch_features(**pixels).global_embeds.mean(dim=0)
    torch.testing.assert_close(model.sketch_center.mean, mean, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model.sketch_center.mean, model.photo_center.mean)


def test_untrained_local_tokens_are_projected_to_the_principal_components_of_the_patches(
    make_model, processor, train_split
):
    late = {"text_config": None, "local_matching": "late_interaction", "local_grid": 4}
    model = make_model(**late, local_dim=3)
    triplets = TripletDataset(train_split, processor)
    measure_centers(model, processor, triplets.paired_rows())
    plain = make_model(**late, local_dim=None)
    state = {name: weight for name, weight in model.state_dict().items() if name != "local_tokens.projection.weight"}
    plain.load_state_dict(state)
    total = 0
    for rows, encode, kind in (
        (triplets.sketches, plain.get_sketch_features, "sketches"),
        (triplets.photos, plain.get_photo_features, "photos"),
    ):
        pixels = processor(**{kind: [datasets.Image().decode_example(row["image"]) for row in rows]})
        patches = encode(**pixels).last_hidden_state[:, 1:].flatten(0, 1).double()
        covariance = torch.cov(patches.T, correction=0)
        total = total + covariance / covariance.trace()
    weight = model.local_tokens.projection.weight.double()
    torch.testing.assert_close(weight @ weight.T, torch.eye(3).double(), rtol=0, atol=1e-5)
    kept = torch.linalg.eigvalsh(total)[-3:].sum()
    torch.testing.assert_close(torch.einsum("rd,de,re->", weight, total, weight), kept, rtol=1e-4, atol=1e-6)
