"""A run, or several, as one page to read: HTML that needs no network, no script and no other file. No torch here."""

from dspkd.reports.audit_page import write as write_audit
from dspkd.reports.comparison_page import compare
from dspkd.reports.run_page import write

__all__ = ["compare", "write", "write_audit"]
