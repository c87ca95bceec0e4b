"""What every other folder needs: whole files and folders, records, progress, prefetching, Hub errors."""
