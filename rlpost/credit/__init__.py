"""Credit: from rewards of a group to advantages."""
