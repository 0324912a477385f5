"""Started by torchrun in test_distributed: trains the small run and leaves its log in the folder given."""

import os
import sys
from pathlib import Path

from conftest import a_plan, a_run
from medcontext.engine.loop import train
from medcontext.events import Reporter

if __name__ == "__main__":
    folder, method = Path(sys.argv[1]), sys.argv[2]
    rank = os.environ.get("RANK", "0")
    run = a_run(folder if rank == "0" else folder / f"rank{rank}", method, plan=a_plan(batch_size=4), steps=6)
    train(run, Reporter())
