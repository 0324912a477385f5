"""Started by torchrun in test_distributed: trains small runs and leaves their logs in the folder given."""

import os
import sys
from pathlib import Path

from conftest import a_plan, a_run
from medcontext.engine.loop import train
from medcontext.events import Reporter

if __name__ == "__main__":
    folder, methods = Path(sys.argv[1]), sys.argv[2:]
    rank = os.environ.get("RANK", "0")
    for method in methods:
        place = folder / method if rank == "0" else folder / f"{method}-rank{rank}"
        train(a_run(place, method, plan=a_plan(batch_size=4), steps=6), Reporter())
