"""What a person sees: text, tables and figures."""
