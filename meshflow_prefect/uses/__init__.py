"""What the package is used for, each a function for a flow of one's own: see `docs/use-cases`."""
