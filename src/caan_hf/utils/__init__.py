"""Helpers of all other folders: atomic files, JSON records, YAML, progress, prefetching, downloads, Hub errors."""
