"""Files, folders, pipes and addresses: bytes and names, no rows."""
