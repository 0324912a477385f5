"""Stand-ins for Slicer's MRML widgets; they watch the real scene and the real nodes."""
