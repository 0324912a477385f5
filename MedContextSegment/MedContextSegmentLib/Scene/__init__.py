"""MRML in and out: scans, regions, segmentations, certainty, sequences."""
