"""The file that `--dry-run` leaves in what it wrote: for which repository, and the files as it wrote them."""

MARK = ".caan-hub.json"
