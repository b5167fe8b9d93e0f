"""What training minimises: the paper's objective (section 4), each part its own function."""
