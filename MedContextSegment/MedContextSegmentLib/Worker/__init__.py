"""The process that computes, seen from Slicer. No Qt, no MRML."""
