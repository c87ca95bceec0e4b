"""Index a folder of photos, search it with a sketch, and save an explanation of the best match.

    python examples/search_photos.py ~/Pictures sketch.png

Run it again to add new photos: the gallery is kept in the folder `my_gallery`.
"""

import argparse

from caan_hf import Gallery, load_encoder


def main() -> None:
    """Print the best photos, and write explanation.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="folder of photos, searched recursively")
    parser.add_argument("sketch", help="image file, or strokes as JSON")
    parser.add_argument("--gallery", default="my_gallery")
    parser.add_argument("--model", default="hub/caan-vit-tiny-v2")
    arguments = parser.parse_args()

    gallery = Gallery.create(arguments.gallery, model=load_encoder(arguments.model))
    report = gallery.add(arguments.photos)
    print(f"{report.num_photos} photos in {arguments.gallery}, {report.num_added} new")

    results = gallery.search(arguments.sketch, k=5)
    for result in results:
        print(f"{result.rank}  {result.score:.3f}  {result.path}")
    gallery.explain(arguments.sketch, results[0]).figure().save("explanation.png")


if __name__ == "__main__":
    main()
