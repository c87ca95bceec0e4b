"""One category under the different names that the benchmarks give it."""

from caan_hf.descriptions.spelling import fold

# Names that differ by more than blanks, case and hyphens; of each group any two name one category. Near kin count too
# where a model that saw the one has seen the other (a revolver is a pistol): zero-shot is a claim about the unseen.
GROUPS = (
    ("bear", "bear (animal)"),
    ("bird", "songbird", "standing bird", "flying bird", "pigeon"),
    ("car", "car (sedan)"),
    ("crocodile", "crocodilian"),
    ("flower", "flower with stem"),
    ("motorbike", "motorcycle"),
    ("mouse", "mouse (animal)"),
    ("pistol", "revolver"),
    ("racket", "tennis racket", "tennis racquet"),
    ("turtle", "sea turtle"),
    ("cup", "teacup", "mug"),
    ("chicken", "rooster"),
    ("ape", "monkey"),
    ("jack-o-lantern", "pumpkin"),
)

_GROUP_OF = {fold(name): fold(group[0]) for group in GROUPS for name in group}


def concept(name: str) -> str:
    """A key that is equal for two names of one category, whatever their spelling."""
    folded = fold(name)
    return _GROUP_OF.get(folded, folded)
