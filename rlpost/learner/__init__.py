"""The learner: from groups to one optimizer step."""
