"""`make demo`: one batch through a real suspension, told as it happens."""
