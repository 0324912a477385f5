"""Many scans at once: the run, its results, and the review of them; no Qt."""
