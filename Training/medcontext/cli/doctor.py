"""``medcontext doctor``."""

from __future__ import annotations

from medcontext.cli.console import session
from medcontext.cli.options import Json


def doctor(*, as_json: Json = False) -> None:
    """Check this machine and show what helps when asking for help: versions, device, memory, models."""
    with session(as_json) as console:
        from medcontext.workflows.doctor import examine

        findings = examine(console.reporter)
        for finding in findings:
            console.say(f"{'ok  ' if finding.ok else 'look'}  {finding.name + ':':<14} {finding.value}")
            if finding.advice:
                console.say(f"      {'':<14} -> {finding.advice}")
        console.result(findings=[finding.to_json() for finding in findings])
