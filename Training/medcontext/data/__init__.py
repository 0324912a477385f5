"""From a folder of annotated scans to batches: store, checks, splits, preprocessing, augmentation."""
