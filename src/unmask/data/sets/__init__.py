"""The public data sets and plain layouts that can be read, one a file; their names are in `data.registry`."""
