"""What is wrong with labelled rows, found before anything is trained on them; one file a concern."""

from retrain.audit.audit import audit_rows
from retrain.audit.base_view import BaseView, Look, look_with, view_rows
from retrain.audit.finding import SHOWN_ROWS, Audit, Finding
from retrain.audit.leakage import untaught_classes

__all__ = [
    "SHOWN_ROWS",
    "Audit",
    "BaseView",
    "Finding",
    "Look",
    "audit_rows",
    "look_with",
    "untaught_classes",
    "view_rows",
]
