"""Train on images of your own with a loss of your own, all in Python.

    python examples/train_in_python.py

Every `# %%` starts a cell, as in a notebook. The images are drawn here and the model is tiny, so it runs in a minute.
"""

# %%
import numpy as np
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
from transformers import ViTImageProcessor

import caan_hf
from caan_hf import CaanConfig, CaanModel, CaanProcessor
from caan_hf.benchmarks.sample import draw_object
from caan_hf.evaluation import EvaluationOptions, evaluate_embeddings
from caan_hf.training import CaanTrainer, CaanTrainingArguments, TripletCollator, TripletDataset

# %% Images as arrays
SEEN = ["house", "car", "fish", "cat", "tree", "table", "mug", "bottle", "key", "scissors", "sword", "kite"]
UNSEEN = ["tent", "rocket", "guitar"]


def images(category: str, modality: str) -> list[np.ndarray]:
    """Ten images of a category as arrays (H, W, 3) of 8-bit RGB values."""
    drawn = (draw_object(category, modality, seed=0, index=number, image_size=64) for number in range(10))
    return [np.asarray(image.convert("RGB")) for image in drawn]


# %% A DatasetDict; `descriptions` and `description_prompts`, lists of sentences and their prompts, are optional
features = Features(
    image=Image(), modality=ClassLabel(names=["sketch", "photo"]), category=ClassLabel(names=SEEN + UNSEEN)
)


def split(categories: list[str]) -> Dataset:
    """A split of these categories."""
    rows = [
        {"image": image, "modality": modality, "category": category}
        for category in categories
        for modality in ("sketch", "photo")
        for image in images(category, modality)
    ]
    return Dataset.from_list(rows, features=features)


data = DatasetDict(train=split(SEEN), test=split(UNSEEN))

# %% Model and processor; `CaanModel.from_backbones` and `CaanProcessor.from_backbones` start from pretrained encoders
torch.manual_seed(0)
tower = {"model_type": "resnet", "embedding_size": 32, "hidden_sizes": [32, 64], "depths": [1, 1]}
tower["layer_type"] = "basic"
config = CaanConfig(
    sketch_config=tower,
    photo_config=tower,
    image_size=64,
    local_grid=4,
    local_dim=32,
    relation_hidden_sizes=[16],
    negatives="in_batch",
    lambda_con=1.0,
)
model = CaanModel(config)
processor = CaanProcessor(ViTImageProcessor(size={"height": 64, "width": 64}))

# %% A trainer with one more loss


class UniformTrainer(CaanTrainer):
    """Spreads the photos over the sphere with the uniformity loss of Wang and Isola (2020)."""

    weight = 0.1

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Add the term to the loss of the model, and log it."""
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        photos = outputs.photo_features.global_embeds  # (N, D), L2-normalised
        uniformity = torch.pdist(photos).square().mul(-2).exp().mean().log()
        self.log_loss("loss_uniform", uniformity)
        loss = loss + self.weight * uniformity
        return (loss, outputs) if return_outputs else loss


# %% Train
triplets = TripletDataset(data["train"], processor, sample_negatives=False)  # as the configuration has in_batch
triplets.clean_once()  # the sketches, instead of in each epoch
trainer = UniformTrainer(
    model=model,
    args=CaanTrainingArguments(
        output_dir="runs/uniform",
        num_train_epochs=10,
        per_device_train_batch_size=32,
        learning_rate=2e-3,
        use_cpu=True,
        save_strategy="no",
        logging_steps=8,
        disable_tqdm=True,
    ),
    train_dataset=triplets,
    data_collator=TripletCollator(processor),
    processing_class=processor,
)
trainer.train()
trainer.save_for_retrieval("runs/uniform/model")

# %% Evaluate the DatasetDict
result = caan_hf.evaluate("runs/uniform/model", data, EvaluationOptions(progress=False, no_cache=True))
print(f"mAP@all {result.metrics['mAP@all']:.3f}, chance {result.chance:.3f}")

# %% Evaluate arrays: images, or embeddings of any model, with category names
encoder = caan_hf.load_encoder("runs/uniform/model")
names = [category for category in UNSEEN for _ in range(10)]
sketches = encoder.encode_sketches([image for category in UNSEEN for image in images(category, "sketch")])
photos = encoder.encode_photos([image for category in UNSEEN for image in images(category, "photo")])
result = evaluate_embeddings(sketches, photos, names, names)
print(f"mAP@all {result.metrics['mAP@all']:.3f} of arrays")
for category, metrics in result.by_category("standard").items():
    print(f"{category:8} {metrics['mAP@all']:.3f}")
metrics = caan_hf.retrieval_metrics(sketches @ photos.T, names, names).metrics  # of any score matrix
print(f"mAP@all {metrics['mAP@all']:.3f} of scores")
