"""Scripts behind the figures of the documents, run as modules from the root of the clone."""
