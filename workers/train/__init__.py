"""Training over Ray: driver, queue, rollout, reward and learner actors."""
