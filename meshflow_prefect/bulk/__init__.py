"""Files in, files out: source → requests → spool → batches → results → destination.

In the order in which the data goes: `recipe` makes a request of a row, `spool` writes requests to
disk in chunks, `plan` says what is in the spool, `job` brings the chunks through Anthropic,
`harvest` keeps the results of a batch, `assembly` writes all rows in input order, `flow` is it all.
"""
