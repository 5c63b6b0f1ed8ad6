"""Values that every part reads and nothing explains further: quantities, versions, commands."""
