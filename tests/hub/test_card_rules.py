"""The local Hub server refuses invalid cards, as the Hub does."""

import pytest
from hub_card_rules import problems

GOOD = """---
license: mit
model-index:
- name: x
  results:
  - task: {type: image-feature-extraction}
    dataset: {type: sketchy-25, name: Sketchy}
    metrics: [{type: map, value: 0.5}]
---
"""


def test_a_valid_card_is_accepted():
    assert problems(GOOD, "model") == []
    assert problems("# no metadata", "model") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("license: mit", "license: mine"), "license"),
        (("license: mit", "license: mit\npipeline_tag: sketching"), "pipeline_tag"),
        (("license: mit", "license: mit\nbase_model: ../models/vit"), "base_model"),
        (("license: mit", "license: ["), "not YAML"),
        (("type: sketchy-25,", "type: sketchy-25@1,"), "dataset.type"),
        ((", name: Sketchy", ""), "dataset.name"),
        (("value: 0.5", "name: mAP"), "value"),
        (("value: 0.5", "value: 0.5, chance: 0.1"), "not allowed"),
        (("- name: x\n  results", "- results"), "name"),
    ],
)
def test_an_invalid_card_is_refused(change, message):
    assert any(message in problem for problem in problems(GOOD.replace(*change), "model"))
