"""The warm worker: ``python -m medcontext.worker`` keeps torch and models in memory for a program that waits.

Requests come as JSON lines on stdin, events (see :mod:`medcontext.events`) go as JSON lines to stdout, logs to
stderr. A request is ``{"request": kind, "id": "7", ...}``; all its events carry its id and the last one is a
``result`` or an ``error`` {kind, message, hint, exit_code}. Requests are served one after another, except
``cancel`` {target}, which is followed at once. The kinds are listed in :mod:`medcontext.worker.handlers`, what
each takes in :mod:`medcontext.worker.requests`. End of stdin ends the worker:
what runs or waits then is cancelled, so keep stdin open until the last answer has come.
"""
