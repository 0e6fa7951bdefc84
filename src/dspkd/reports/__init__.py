"""Reports of runs, comparisons and audits: one HTML file each, without network, script or other files. No torch."""

from dspkd.reports.audit_page import write as write_audit
from dspkd.reports.comparison_page import compare
from dspkd.reports.run_page import write

__all__ = ["compare", "write", "write_audit"]
