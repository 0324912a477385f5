"""From clusters of one image to regions that a person can pick: cut, described and chosen without ground truth."""
