"""What every benchmark writes beside its numbers: the command, the machine, the versions."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
REPOSITORY = Path(__file__).parents[2]
SHARED = Path("../shared/data")


def write_result(name: str, facts: dict[str, Any]) -> Path:
    """Write ``results/NAME.json`` with the command and the conditions it was made under."""
    RESULTS.mkdir(exist_ok=True)
    # Where a folder lies on the machine that measured says nothing to others.
    arguments = [Path(a).name if Path(a).is_absolute() else a for a in sys.argv[1:]]
    conditions = {
        "command": "python " + " ".join([f"Testing/Benchmarks/{Path(sys.argv[0]).name}", *arguments]),
        "date": date.today().isoformat(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_at_the_end": [round(value, 2) for value in os.getloadavg()]
        if hasattr(os, "getloadavg")
        else None,
        "python": platform.python_version(),
        "versions": {package: version(package) for package in ("torch", "monai", "numpy")},
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"conditions": conditions, **facts}, indent=1) + "\n", encoding="utf-8")
    return path


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
