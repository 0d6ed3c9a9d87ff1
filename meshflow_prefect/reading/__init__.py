"""Files → rows: one module a format, each a stream whose memory does not grow with the file."""
