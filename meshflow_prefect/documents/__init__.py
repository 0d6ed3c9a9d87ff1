"""Documents in: a folder, a glob or a URL of texts, PDF, images and Word → content blocks."""

from meshflow_prefect.documents.document import Document
from meshflow_prefect.documents.folder import Documents
from meshflow_prefect.documents.limits import page_limit

__all__ = ["Document", "Documents", "page_limit"]
