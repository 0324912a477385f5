"""Plain supervised training: the yardstick of every comparison."""
