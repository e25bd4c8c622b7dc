"""Ray actors of an rlpost run: shells around classes that are tested without Ray."""
