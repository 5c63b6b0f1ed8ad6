"""What accelerators are, and how a pod asks for them."""
