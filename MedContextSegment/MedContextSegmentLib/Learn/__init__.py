"""Learning from the scene: cases, fine-tuning, corrections; no Qt."""
