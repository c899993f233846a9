"""Files to files: read, pad or unpad, write."""
