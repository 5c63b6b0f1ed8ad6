"""What the commands show, as values and texts made of manifests that were read: nothing here reads anything."""
