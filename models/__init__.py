"""What learns and what searches: tensors in, tensors out."""
