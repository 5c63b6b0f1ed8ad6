"""What every serving example becomes, and how that is found out."""
