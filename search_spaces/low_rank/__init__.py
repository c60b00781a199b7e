"""What low ranks cost and are worth: ranks, refreshes, projectors, other ways of fine-tuning."""
