"""``report.html``: the page on which a person skims a batch."""

from medcontext.batch.report.page import write_report

__all__ = ["write_report"]
