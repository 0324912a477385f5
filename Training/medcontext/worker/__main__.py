"""``python -m medcontext.worker``."""

from __future__ import annotations

from medcontext.worker.streams import take_streams


def main() -> None:
    """Serve requests until stdin ends."""
    requests, events = take_streams()
    # Only now: from here on whatever an import prints goes to stderr.
    import argparse
    import faulthandler
    import gc
    import logging
    import os
    import sys

    # Loading torch makes half a million objects; to search every 700 new ones for garbage takes 0.35 s of CPU.
    gc.set_threshold(10_000)
    # Read when torch is loaded. The worker shares its cores with the program that asks: threads that spin while
    # they wait for each other made a segmentation on two busy cores take three to five times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from medcontext.worker.server import GRACE_SECONDS, IDLE_SECONDS, WATCH_SECONDS, Server

    parser = argparse.ArgumentParser(prog="medcontext.worker", description="Serve requests on stdin.")
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS, help=argparse.SUPPRESS)
    parser.add_argument("--watch-seconds", type=float, default=WATCH_SECONDS, help=argparse.SUPPRESS)
    parser.add_argument("--grace-seconds", type=float, default=GRACE_SECONDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    Server(requests, events, options.idle_seconds, options.watch_seconds, options.grace_seconds).run()
    events.flush()
    logging.shutdown()
    sys.stderr.flush()
    # Graphics drivers and thread pools take up to seconds to say goodbye, and some crash at it.
    os._exit(0)


if __name__ == "__main__":
    main()
