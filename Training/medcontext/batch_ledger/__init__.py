"""What a batch run leaves behind, as files: where they lie, who writes the ledger, how everybody else reads it.

A batch folder holds ``ledger.jsonl`` (a JSON object a line, written by one process), ``reviews.jsonl`` (what
people said of its cases) and what is made of both. Standard library only: the module in 3D Slicer reads it too.
"""

from medcontext.batch_ledger.layout import Layout
from medcontext.batch_ledger.outliers import (
    Outlier,
    certainties,
    find_outliers,
    number_text,
    outliers,
    review_order,
    usual_shares,
    usual_volumes,
)
from medcontext.batch_ledger.reading import Tail, read_rows, volumes_of
from medcontext.batch_ledger.reviews import (
    OPEN,
    VOID,
    Review,
    Verdict,
    append_review,
    read_reviews,
    result_id,
    standing_reviews,
)
from medcontext.batch_ledger.rows import DONE, FAILED, RUNNING, SKIPPED, Row
from medcontext.batch_ledger.table import label_names, write_csv
from medcontext.batch_ledger.writing import LedgerWriter

__all__ = [
    "DONE",
    "FAILED",
    "OPEN",
    "RUNNING",
    "SKIPPED",
    "VOID",
    "Layout",
    "LedgerWriter",
    "Outlier",
    "Review",
    "Row",
    "Tail",
    "Verdict",
    "append_review",
    "certainties",
    "find_outliers",
    "label_names",
    "number_text",
    "outliers",
    "read_reviews",
    "read_rows",
    "result_id",
    "review_order",
    "standing_reviews",
    "usual_shares",
    "usual_volumes",
    "volumes_of",
    "write_csv",
]
