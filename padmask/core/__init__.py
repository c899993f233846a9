"""Arrays in, arrays out: lengths, plans, masks and padded tables. No files."""
