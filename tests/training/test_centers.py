"""Means and principal components that are measured on training images."""

import datasets
import torch

from caan_hf.training.centers import SHRINKAGE, covariance_within, measure_centers, whitening_matrix
from caan_hf.training.triplets import TripletDataset


def encoded(model, processor, triplets):
    """Categories and features of all training sketches, then of all training photos."""
    for kind, rows in (("sketches", triplets.sketches), ("photos", triplets.photos)):
        pixels = processor(**{kind: [datasets.Image().decode_example(row["image"]) for row in rows]})
        encode = model.get_sketch_features if kind == "sketches" else model.get_photo_features
        yield torch.tensor(rows["category"][:]), encode(**pixels)


def test_measured_means_are_those_of_the_training_images(make_model, processor, train_split):
    model = make_model(text_config=None, center_features=True)
    triplets = TripletDataset(train_split, processor)
    measure_centers(model, processor, triplets.paired_rows())
    measure_centers(model, processor, triplets.paired_rows())  # a second measurement does not depend on the first
    plain = make_model(text_config=None)
    plain.load_state_dict(model.state_dict(), strict=False)
    centers = model.sketch_center.mean, model.photo_center.mean
    for center, (_, features) in zip(centers, encoded(plain, processor, triplets), strict=True):
        torch.testing.assert_close(center, features.global_embeds.mean(dim=0), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(*centers)


def test_covariance_within_categories_is_that_of_a_loop_over_the_images():
    sketches, photos = torch.randn(5, 3), torch.randn(7, 3)
    of_sketches, of_photos = torch.tensor([0, 0, 1, 2, 0]), torch.tensor([1, 0, 0, 1, 3, 0, 1])
    total, number = torch.zeros(3, 3), 0
    for category in (0, 1):  # 2 has no photo, 3 no sketch
        ours, theirs = sketches[of_sketches == category], photos[of_photos == category]
        center = (ours.mean(dim=0) + theirs.mean(dim=0)) / 2
        for row in (*ours, *theirs):
            total, number = total + torch.outer(row - center, row - center), number + 1
    found = covariance_within([sketches, photos], [of_sketches, of_photos])
    torch.testing.assert_close(found.float(), total / number)


def test_without_a_category_with_both_modalities_nothing_is_whitened():
    covariance = covariance_within([torch.randn(2, 3), torch.randn(2, 3)], [torch.tensor([0, 1]), torch.tensor([2, 3])])
    torch.testing.assert_close(whitening_matrix(covariance, 0.5), torch.eye(3))
    torch.testing.assert_close(whitening_matrix(torch.zeros(3, 3), 0.5), torch.eye(3))


def test_whitening_scales_the_principal_directions_of_a_covariance():
    covariance = torch.diag(torch.tensor([1.0, 4.0, 16.0]))
    shrunk = torch.tensor([1.0, 4.0, 16.0]) + SHRINKAGE * 7
    for power in (0.5, 1):
        matrix = whitening_matrix(covariance, power)
        torch.testing.assert_close(matrix, torch.diag(matrix.diagonal()))
        ratios = matrix.diagonal() / matrix.diagonal()[0]
        torch.testing.assert_close(ratios, (shrunk / shrunk[0]) ** (-power / 2))


def test_whitening_is_measured_on_centred_features_of_the_training_images(make_model, processor, train_split):
    model = make_model(text_config=None, center_features=True, whitening=0.5)
    triplets = TripletDataset(train_split, processor)
    for _ in range(2):  # a second measurement does not depend on the first
        measure_centers(model, processor, triplets.paired_rows())
    plain = make_model(text_config=None, center_features=True)
    state = {name: tensor for name, tensor in model.state_dict().items() if name != "whitening.matrix"}
    plain.load_state_dict(state)
    categories, features = zip(*encoded(plain, processor, triplets), strict=True)
    embeds = [one.global_embeds for one in features]
    expected = whitening_matrix(covariance_within(embeds, categories), 0.5)
    torch.testing.assert_close(model.whitening.matrix, expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(expected, torch.eye(len(expected)), atol=0.01)
    for plain_embeds, (_, found) in zip(embeds, encoded(model, processor, triplets), strict=True):
        whitened = torch.nn.functional.normalize(plain_embeds @ expected, dim=-1)
        torch.testing.assert_close(found.global_embeds, whitened, rtol=1e-3, atol=1e-4)


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
    for _, features in encoded(plain, processor, triplets):
        patches = features.last_hidden_state[:, 1:].flatten(0, 1).double()
        covariance = torch.cov(patches.T, correction=0)
        total = total + covariance / covariance.trace()
    weight = model.local_tokens.projection.weight.double()
    torch.testing.assert_close(weight @ weight.T, torch.eye(3).double(), rtol=0, atol=1e-5)
    kept = torch.linalg.eigvalsh(total)[-3:].sum()
    torch.testing.assert_close(torch.einsum("rd,de,re->", weight, total, weight), kept, rtol=1e-4, atol=1e-6)
