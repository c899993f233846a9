"""What was asked for: frozen options, validated once."""
