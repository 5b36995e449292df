"""One file per format, or per library that knows several; each imported when it is needed."""
