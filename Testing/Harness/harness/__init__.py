"""What lets the Slicer module run without the Slicer application: real MRML below, stand-ins above.

``application`` starts the MRML of slicer-core and needs no Qt. ``slicer_qt`` puts PySide6 widgets behind the names
``qt``, ``ctk`` and ``slicer`` on top of it. One process uses one of the two.
"""
