"""`python indexer.py CHECKPOINT PHOTOS GALLERY`: indexes as `caan index` does, but commits every two photos.

A process of its own, so that tests can kill it, or run several at a time.
"""

import sys

from caan_hf.gallery import Gallery, indexing

indexing.COMMIT_SECONDS = 0
checkpoint, photos, gallery = sys.argv[1:]
report = Gallery.create(gallery, model=checkpoint, device="cpu").add(photos, batch_size=2, threads=1)
print(report.num_added, report.num_unchanged)
