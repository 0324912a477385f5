"""What the module MedContextSegment is made of, one responsibility a file; only panels use Qt."""
