"""`rlpost evaluate`: runs against judgements and against one another, for people and programs."""
