"""Score photos for a sketch.

python examples/encode_and_score.py sketch.png photo1.jpg photo2.jpg
"""

import sys

import caan_hf

sketch, *photos = sys.argv[1:]
encoder = caan_hf.load_encoder("hub/caan-vit-tiny-v2")  # or a Hub id, an ONNX export, any vision model
scores = encoder.encode_sketches(sketch) @ encoder.encode_photos(photos).T  # (1, number of photos), cosine similarities
for score, photo in sorted(zip(scores[0], photos, strict=True), reverse=True):
    print(f"{score:.3f}  {photo}")
