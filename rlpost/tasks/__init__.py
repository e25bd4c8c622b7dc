"""What the policy learns to do: each task turns data into prompts and knows how to judge an answer."""
