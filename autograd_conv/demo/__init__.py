"""What `python -m autograd_conv` shows: complete programs, written to be read."""
