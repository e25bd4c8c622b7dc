"""What the policy learns to do: a task writes prompts from data and judges the answers."""
